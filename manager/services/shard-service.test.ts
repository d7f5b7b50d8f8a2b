import { strict as assert } from "node:assert";
import { create, toBinary } from "@bufbuild/protobuf";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import type { Member } from "../../common/membership/membership.ts";
import { ownersOf, ownShard } from "../../common/membership/rendezvous.ts";
import { openSqliteConfigStore } from "../../common/storage/sqlite/config-store.ts";
import { DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import type { ShardService } from "../../gen/nebula/v1/shard_pb.ts";
import type { ServiceHandlers } from "../rpc/call-context.ts";
import { TestMembership } from "../testing/test-membership.ts";
import { createOwnership } from "../watch/ownership.ts";
import { createShardServiceHandlers } from "./shard-service.ts";

const MEMBERS: readonly Member[] = ["a:1", "b:1", "c:1", "d:1"].map((address) => ({ name: address, address, boot: address }));
const [SELF = { name: "", address: "", boot: "" }, ...OTHERS] = MEMBERS;

async function shardMap(handlers: ServiceHandlers<typeof ShardService>, deviceGroup: string, deviceId: string): Promise<string[]> {
  const context = { principal: { kind: "part" } as const, signal: new AbortController().signal, peer: "", requestId: "", changed() {} };
  const { shards } = await handlers.getShardMap({ $typeName: "nebula.v1.GetShardMapRequest", deviceGroup, deviceId }, context);
  return (shards ?? []).map(({ address }) => address ?? "");
}

describe("shard map", () => {
  it("names every live shard, the device's own first", async () => {
    await using configStore = await openSqliteConfigStore({ path: ":memory:" });
    const body = toBinary(DeviceGroupSchema, create(DeviceGroupSchema, { name: "wide", spread: 3 }));
    const change = { deleted: false, action: "create" as const, changedAt: 0, changedBy: "", expected: 0n, revision: 1n };
    await configStore.write({ kind: "device_group", name: "wide", body, ...change, members: { apps: [], cronJobs: [] } });
    const membership = new TestMembership(SELF, OTHERS);
    const handlers = createShardServiceHandlers({ configStore, ownership: createOwnership({ membership, address: () => "a:1", redirect: true }) });
    const named = (member: Member | undefined) => member?.address;

    for (const group of ["wide", "g1", "g2", "g3"]) {
      const owners = ownersOf(group, MEMBERS, group === "wide" ? 3 : 1);
      assert.equal((await shardMap(handlers, group, ""))[0], named(owners[0]));
      for (const device of ["d1", "d2", "d3"]) {
        const map = await shardMap(handlers, group, device);
        assert.equal(map[0], named(ownShard(group, device, owners)));
        assert.deepEqual([...map].sort(), ["a:1", "b:1", "c:1", "d:1"]);
      }
    }
    for (const [group, device] of [
      ["", ""],
      ["no/name", ""],
      ["g", "no device!"],
    ] as const) {
      await assert.rejects(shardMap(handlers, group, device), (error) => isNebulaError(error, "invalid_argument"));
    }
  });

  it("lists this shard first while it has not joined, and an address that several share once", async () => {
    await using configStore = await openSqliteConfigStore({ path: ":memory:" });
    const [b, c] = OTHERS;
    assert.ok(b && c);
    const membership = new TestMembership(undefined, [b, c, { ...c, name: "same address" }]);
    const handlers = createShardServiceHandlers({ configStore, ownership: createOwnership({ membership, address: () => "me:9", redirect: true }) });
    const [first, ...others] = await shardMap(handlers, "g", "d");
    assert.equal(first, "me:9");
    assert.deepEqual(others.sort(), ["b:1", "c:1"]);
  });
});
