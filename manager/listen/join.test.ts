import { strict as assert } from "node:assert";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { shardOf } from "./join.ts";

const PLACE = { bound: { host: "10.0.0.7", port: 50051 }, hostname: "m-1", boot: "b" };
const ANY = { ...PLACE, bound: { host: "0.0.0.0", port: 50051 } };

describe("what a shard is to the others", () => {
  it("a shard advertises the setting, else the address it listens on", () => {
    assert.deepEqual(shardOf({ grpcAdvertise: undefined }, PLACE, false), { self: { name: "m-1:50051", address: "10.0.0.7:50051", boot: "b" } });
    const given = shardOf({ grpcAdvertise: "m.example.com:443", shard: "m-one" }, ANY, false);
    assert.deepEqual(given, { self: { name: "m-one", address: "m.example.com:443", boot: "b" } });
  });

  it("a shard advertises the machine's name, with a warning, where it listens on every address and is alone", () => {
    const { self, warning } = shardOf({ grpcAdvertise: undefined }, ANY, true);
    assert.equal(self.address, "m-1:50051");
    assert.match(warning ?? "", /NEBULA_GRPC_ADVERTISE/);
  });

  it("a shard refuses an unspecified address as soon as other shards may exist, and names the setting", () => {
    for (const host of ["0.0.0.0", "::"]) {
      assert.throws(
        () => shardOf({ grpcAdvertise: undefined }, { ...ANY, bound: { host, port: 1 } }, false),
        (error) =>
          isNebulaError(error, "failed_precondition") &&
          /^invalid NEBULA_GRPC_LISTEN ".*:1": .*set NEBULA_GRPC_ADVERTISE, such as "m-1:1"$/.test(error.message),
      );
    }
  });
});
