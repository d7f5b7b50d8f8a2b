import { strict as assert } from "node:assert";
import { create, toBinary } from "@bufbuild/protobuf";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import type { Member } from "../../common/membership/membership.ts";
import { ownersOf, ownShard } from "../../common/membership/rendezvous.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import { openSqliteConfigStore } from "../../common/storage/sqlite/config-store.ts";
import { DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import type { ShardService } from "../../gen/nebula/v1/shard_pb.ts";
import type { ServiceHandlers } from "../rpc/call-context.ts";
import { plainStore } from "../testing/plain-store.ts";
import { TestMembership } from "../testing/test-membership.ts";
import { createOwnership } from "../watch/ownership.ts";
import { createShardServiceHandlers, type ShardServiceDeps } from "./shard-service.ts";

function handlersOf(membership: TestMembership, configStore: ConfigStore, more: Partial<ShardServiceDeps> = {}, address = "a:1") {
  const clock = new ManualClock();
  const signal = new AbortController().signal;
  const ownership = createOwnership({ membership, address: () => address, redirect: true, signal });
  return createShardServiceHandlers({ configStore, ownership, clock, cacheTimeMs: 10_000, watched: () => undefined, ...more });
}

const MEMBERS: readonly Member[] = ["a:1", "b:1", "c:1", "d:1"].map((address) => ({ name: address, address, boot: address }));
const [SELF = { name: "", address: "", boot: "" }, ...OTHERS] = MEMBERS;

async function shardMap(handlers: ServiceHandlers<typeof ShardService>, deviceGroup: string, deviceId: string): Promise<string[]> {
  const context = { principal: { kind: "part" } as const, signal: new AbortController().signal, peer: "", requestId: "", changed() {} };
  const { shards } = await handlers.getShardMap({ $typeName: "nebula.v1.GetShardMapRequest", deviceGroup, deviceId }, context);
  return (shards ?? []).map(({ address }) => address ?? "");
}

describe("shard map", () => {
  it("the shard map names every live shard, the device's own first", async () => {
    await using configStore = await openSqliteConfigStore({ path: ":memory:" });
    const body = toBinary(DeviceGroupSchema, create(DeviceGroupSchema, { name: "wide", spread: 3 }));
    const change = { deleted: false, action: "create" as const, changedAt: 0, changedBy: "", expected: 0n, revision: 1n };
    await configStore.write({ kind: "device_group", name: "wide", body, ...change, members: { apps: [], cronJobs: [] } });
    const membership = new TestMembership(SELF, OTHERS);
    const handlers = handlersOf(membership, configStore);
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

  it("the shard map lists this shard first while it has not joined, and an address that several share once", async () => {
    await using configStore = await openSqliteConfigStore({ path: ":memory:" });
    const [b, c] = OTHERS;
    assert.ok(b && c);
    const membership = new TestMembership(undefined, [b, c, { ...c, name: "same address" }]);
    const handlers = handlersOf(membership, configStore, {}, "me:9");
    const [first, ...others] = await shardMap(handlers, "g", "d");
    assert.equal(first, "me:9");
    assert.deepEqual(others.sort(), ["b:1", "c:1"]);
  });

  it("the shard map lists after the own shard of a device those that come next for it when the ones before have left", async () => {
    await using configStore = await openSqliteConfigStore({ path: ":memory:" });
    const watched = (deviceGroup: string) => (deviceGroup === "wide" ? 3 : 1);
    for (const group of ["wide", "narrow"]) {
      for (let device = 0; device < 40; device++) {
        let left = MEMBERS;
        const map = await shardMap(handlersOf(new TestMembership(SELF, OTHERS), configStore, { watched }), group, `d${device}`);
        assert.equal(map.length, MEMBERS.length);
        for (const address of map) {
          const owners = ownersOf(group, left, watched(group));
          const own = group === "wide" ? ownShard(group, `d${device}`, owners) : owners[0];
          assert.equal(address, own?.address);
          left = left.filter((member) => member !== own);
        }
      }
    }
  });

  it("the shard map is answered without the store: by the spread that was read last, else by the group's first owner, which redirects the others' devices", async () => {
    await using sqlite = await openSqliteConfigStore({ path: ":memory:" });
    const body = toBinary(DeviceGroupSchema, create(DeviceGroupSchema, { name: "wide", spread: 3 }));
    const change = { deleted: false, action: "create" as const, changedAt: 0, changedBy: "", expected: 0n, revision: 1n };
    await sqlite.write({ kind: "device_group", name: "wide", body, ...change, members: { apps: [], cronJobs: [] } });
    let isAway = false;
    const get: ConfigStore["get"] = (key) =>
      isAway ? Promise.reject(new NebulaError("unavailable", "the store did not answer within 3 s")) : sqlite.get(key);
    const clock = new ManualClock();
    const handlers = handlersOf(new TestMembership(SELF, OTHERS), { ...plainStore(sqlite), get }, { clock });
    const devices = Array.from({ length: 20 }, (_, index) => `d${index}`);
    const maps = (group: string) => Promise.all(devices.map((device) => shardMap(handlers, group, device)));
    const before = await maps("wide");
    assert.ok(new Set(before.map(([first]) => first)).size > 1);
    await clock.advance(10_001);
    isAway = true;
    assert.deepEqual(await maps("wide"), before);
    assert.deepEqual(await maps("wide"), before, "also when it was asked for in vain");
    const [owner] = ownersOf("unread", MEMBERS, 1);
    assert.deepEqual(new Set((await maps("unread")).map(([first]) => first)), new Set([owner?.address]));
    isAway = false;
    assert.deepEqual(await maps("wide"), before);
  });

  it("the shard map reads no store for a group that is watched here, and one row per cache_time for another, for any number of devices", async () => {
    await using sqlite = await openSqliteConfigStore({ path: ":memory:" });
    let reads = 0;
    const configStore: ConfigStore = {
      ...plainStore(sqlite),
      get(key) {
        reads++;
        return sqlite.get(key);
      },
    };
    const clock = new ManualClock();
    const watched = (deviceGroup: string) => (deviceGroup === "here" ? 2 : undefined);
    const handlers = handlersOf(new TestMembership(SELF, OTHERS), configStore, { clock, watched });
    const askAll = (group: string) => Promise.all(Array.from({ length: 200 }, (_, index) => shardMap(handlers, group, `d${index}`)));
    await askAll("here");
    assert.equal(reads, 0);
    await askAll("there");
    await askAll("there");
    assert.equal(reads, 1);
    await clock.advance(10_001);
    await askAll("there");
    assert.equal(reads, 2);
  });
});
