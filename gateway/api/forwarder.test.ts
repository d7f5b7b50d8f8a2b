import { strict as assert } from "node:assert";
import { globSync, readFileSync } from "node:fs";
import { API_SERVICES } from "./forwarder.ts";

describe("the services that are forwarded", () => {
  it("every service but the gateway's own is forwarded", () => {
    const generated = globSync(["gen/nebula/v1/*_pb.ts", "gen/grpc/health/v1/*_pb.ts"]).flatMap((file) =>
      [...readFileSync(file, "utf8").matchAll(/^export const (\w+): GenService</gm)].map(([, name]) => name),
    );
    assert.ok(generated.length >= 9);
    assert.deepEqual(API_SERVICES.map(({ name }) => name).toSorted(), generated.toSorted());
  });
});
