import { strict as assert } from "node:assert";
import { Metadata } from "@grpc/grpc-js";
import { callHeaders, forgetHeaders } from "./call-headers.ts";

describe("call headers", () => {
  it("call headers are the first value of each name, as text", () => {
    const metadata = new Metadata();
    metadata.add("authorization", "Bearer one");
    metadata.add("authorization", "Bearer two");
    metadata.set("some-bin", Buffer.from("bytes"));
    const headers = callHeaders(metadata);
    assert.equal(headers.header("authorization"), "Bearer one");
    assert.equal(headers.header("some-bin"), undefined);
    assert.equal(headers.header("absent"), undefined);
  });

  it("call headers can be released, every one", () => {
    const metadata = new Metadata();
    metadata.set("authorization", "Bearer one");
    metadata.set("some-bin", Buffer.from("bytes"));
    forgetHeaders(metadata);
    assert.deepEqual(metadata.toJSON(), {});
  });
});
