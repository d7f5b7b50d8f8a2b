import { strict as assert } from "node:assert";
import { isNebulaError } from "../errors/nebula-error.ts";
import { pageOf } from "./page.ts";

describe("a page", () => {
  it("is the first 100 when nothing is said", () => assert.deepEqual(pageOf({ pageSize: 0, pageToken: "" }), { limit: 100 }));
  it("is at most 1000, after the token given", () => assert.deepEqual(pageOf({ pageSize: 1000, pageToken: "x" }), { limit: 1000, after: "x" }));
  it("is refused above that, and with a token that nobody gave out", () => {
    assert.throws(
      () => pageOf({ pageSize: 1001, pageToken: "x".repeat(1025) }),
      (error) => isNebulaError(error, "invalid_argument") && error.violations.map(({ field }) => field).join() === "page_size,page_token",
    );
  });
});
