import { strict as assert } from "node:assert";
import { create, toBinary } from "@bufbuild/protobuf";
import type { Drivers } from "../../common/drivers.ts";
import type { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import { ShardService } from "../../gen/nebula/v1/shard_pb.ts";
import { type ManagerRig, startManagerRig } from "../testing/manager-rig.ts";
import { putTestDevices } from "../testing/test-access.ts";
import { TestWatch } from "../testing/watch-rig.ts";

const GROUP = "shops";
const CHANNELS = 20;

/** Counts the calls of a store by the name of its method. */
function counting<T extends object>(store: T, calls: Map<string, number>): T {
  return new Proxy(store, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      return (...args: unknown[]) => {
        calls.set(String(name), (calls.get(String(name)) ?? 0) + 1);
        return Reflect.apply(member, target, args);
      };
    },
  });
}

/** Reads of credentials, by the methods that make them: the stamp is one read for all. */
const CREDENTIAL_READS = ["tokenOwner", "getUser", "userByTokenHash", "groupsOf", "deviceByTokenHash", "deviceToken", "enrolmentByTokenHash"];

function credentialReads(calls: ReadonlyMap<string, number>): number {
  return CREDENTIAL_READS.reduce((sum, method) => sum + (calls.get(method) ?? 0), 0);
}

async function putEntity(rig: ManagerRig, kind: "app" | "device_group", name: string, body: Uint8Array): Promise<void> {
  const { configStore, changeFeed } = rig.drivers;
  const expected = (await configStore.get({ kind, name }))?.revision ?? 0n;
  const change = { deleted: false, action: "update", changedAt: 0, changedBy: "test" } as const;
  const members = kind === "device_group" ? { members: { apps: ["web"], cronJobs: [] } } : {};
  const outcome = await configStore.write({ kind, name, body, ...change, ...members, expected, revision: expected + 1n });
  assert.equal(outcome.kind, "written");
  changeFeed.publish({ kind: "entity", entity: { kind, name }, revision: expected + 1n });
}

const putApp = (rig: ManagerRig, image: string) =>
  putEntity(rig, "app", "web", toBinary(AppSchema, create(AppSchema, { name: "web", dockerImage: image })));

/**
 * Devices with tokens come, an app changes, they reconnect, it changes again; answers the calls of the stores, by
 * method, in each phase.
 */
async function countReads(devices: number) {
  const [entities, access] = [new Map<string, number>(), new Map<string, number>()];
  const wrapDrivers = (drivers: Drivers): Drivers => ({
    ...drivers,
    configStore: counting(drivers.configStore, entities),
    accessStore: counting(drivers.accessStore, access),
  });
  await using rig = await startManagerRig({ settings: { cacheTimeMs: 600_000 }, wrapDrivers });
  await putApp(rig, "nginx:1");
  await putEntity(rig, "device_group", GROUP, toBinary(DeviceGroupSchema, create(DeviceGroupSchema, { name: GROUP, apps: ["web"], pruneId: 1n })));
  const tokens = await putTestDevices(rig.drivers.accessStore, devices, GROUP);

  const phase = async (work: () => Promise<void>) => {
    entities.clear();
    access.clear();
    await work();
    entities.delete("readCluster"); // the recheck's, which goes by time
    return { entities: Object.fromEntries([...entities].sort()), credentials: credentialReads(access), access: Object.fromEntries(access) };
  };
  let watches: TestWatch[] = [];
  const connectOne = async (channel: GrpcChannel, deviceId: string, token: string) => {
    const headers = { authorization: `Bearer ${token}` };
    await channel.unary(ShardService.method.getShardMap, { deviceId, deviceGroup: GROUP }, { headers });
    watches.push(new TestWatch(channel, { deviceId, deviceGroup: GROUP, boot: "b", etag: "" }, headers));
  };
  const allHave = (image: string) =>
    eventually(() => assert.ok(watches.length === devices && watches.every(({ last }) => last?.startsWith(`${image}@`))), { timeoutMs: 60_000 });
  const connect = async (image: string) => {
    const channels = Array.from({ length: CHANNELS }, () => rig.channel());
    await Promise.all(tokens.map(({ deviceId, token }, index) => connectOne(channels[index % CHANNELS] ?? assert.fail(), deviceId, token)));
    await allHave(image);
  };
  const push = async (image: string) => {
    await putApp(rig, image);
    await allHave(image);
  };
  const come = await phase(() => connect("nginx:1"));
  const change = await phase(() => push("nginx:2"));
  for (const watch of watches) watch.close();
  await eventually(() => assert.equal(rig.manager.watches, 0), { timeoutMs: 30_000 });
  watches = [];
  const reconnect = await phase(() => connect("nginx:2"));
  const again = await phase(() => push("nginx:3"));
  for (const watch of watches) watch.close();
  return { come, change, reconnect, again };
}

describe("reads of the stores", () => {
  it("reads of the stores are the same for entities with 200 and 2,000 devices; of credentials two per connection at most, and none per push", async () => {
    const [few, many] = [await countReads(200), await countReads(2000)];
    for (const [devices, counts] of [[200, few] as const, [2000, many] as const]) {
      assert.ok(counts.come.credentials >= devices, "each credential is read at least once");
      assert.ok(counts.come.credentials <= 2 * devices, `${counts.come.credentials} credential reads of ${devices} devices`);
      assert.ok(counts.reconnect.credentials <= 2 * devices, `${counts.reconnect.credentials} credential reads of ${devices} reconnects`);
      assert.equal(counts.change.credentials + counts.again.credentials, 0, JSON.stringify([counts.change.access, counts.again.access]));
    }
    for (const phase of ["come", "change", "reconnect", "again"] as const) assert.deepEqual(many[phase].entities, few[phase].entities, phase);
    assert.ok(Object.keys(many.come.entities).length > 0 && Object.keys(many.change.entities).length > 0, "something is read");
  }).timeout(240_000);
});
