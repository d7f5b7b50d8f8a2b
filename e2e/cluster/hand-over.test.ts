import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Registry } from "prom-client";
import { systemClock } from "../../common/clock/system-clock.ts";
import type { Drivers } from "../../common/drivers.ts";
import { silentLog } from "../../common/log/log.ts";
import { LeaseMembership } from "../../common/membership/lease-membership.ts";
import { MANAGER_DRIVERS, openDrivers } from "../../common/open-drivers.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { fastClock } from "../../common/testing/fast-clock.ts";
import { MemoryLeases } from "../../common/testing/memory-leases.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { type RunningManager, startManager } from "../../manager/main.ts";
import { LightDevice, SharedChannels } from "./light-device.ts";

const DEVICES = 2000;
/** Groups of the same size; the first one is spread over two shards. */
const GROUPS = 40;
/** How many times faster than the machine's clock leases are renewed and end. */
const LEASE_SPEED = 10;
/** How long 2,000 devices may take to be where they belong: seconds, and several times that on a slow machine. */
const SETTLE_MS = 60_000;
const headers = { authorization: `Basic ${Buffer.from("admin:secret").toString("base64")}` };

type Shard = AsyncDisposable & Readonly<{ manager: RunningManager; registry: Registry }>;

/** Several shards in this process, on one store. */
async function startCluster(): Promise<AsyncDisposable & { start(name: string): Promise<Shard> }> {
  await using stack = new AsyncDisposableStack();
  const dataDir = await mkdtemp(join(tmpdir(), "nebula-shards-"));
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  const embedded = { dataDir, store: "sqlite:", reports: "sqlite:", redis: "memory:", bus: "memory:", cacheTimeMs: 10_000, reportTtlMs: 86_400_000 };
  const shared: Drivers = stack.use(await openDrivers(MANAGER_DRIVERS, { settings: embedded, clock: systemClock, log: silentLog }));
  const leases = new MemoryLeases();
  const settings = {
    grpcListen: { host: "127.0.0.1", port: 0 },
    grpcAdvertise: undefined,
    redirect: true,
    cacheTimeMs: 10_000,
    auditRetentionMs: 86_400_000,
    maxDevicesPerGroup: 100_000,
    authEnabled: true,
    admin: { user: "admin" },
    drainMs: 20_000,
  };
  const secrets = { clusterKey: "cluster key of a test", adminPassword: "secret" };
  const disposal = stack.move();
  return {
    async start(name) {
      const membership = new LeaseMembership({ table: leases.end(), clock: fastClock(LEASE_SPEED), log: silentLog });
      const registry = new Registry();
      const options = { settings: { ...settings, shard: name }, secrets, clock: systemClock, log: silentLog, registry };
      const manager = await startManager({ ...options, drivers: { ...shared, membership } });
      return {
        manager,
        registry,
        async [Symbol.asyncDispose]() {
          await manager.stop();
          await membership[Symbol.asyncDispose]();
        },
      };
    },
    [Symbol.asyncDispose]: () => disposal.disposeAsync(),
  };
}

/** A number of a shard's metrics; with a bound, of a histogram's bucket. */
async function metric({ registry }: Shard, name: string, bound?: number): Promise<number> {
  const { values } = (await registry.getSingleMetric(name)?.get()) ?? assert.fail(`there is no metric ${name}`);
  const value = values.find(({ labels }) => bound === undefined || Object(labels).le === bound);
  return value?.value ?? assert.fail(`${name} has no value`);
}

/** The cost of a change of the membership for a shard: groups ranked, changes acted on, and whether every turn looked at 256 streams or fewer. */
async function costs(shard: Shard): Promise<Readonly<{ rankings: number; changes: number }>> {
  const most = await metric(shard, "nebula_hand_over_looks", 256);
  const all = await metric(shard, "nebula_hand_over_looks", Number.POSITIVE_INFINITY).catch(() => most);
  assert.equal(most, all, "no turn of the event loop looked at more than 256 streams");
  return { rankings: await metric(shard, "nebula_group_rankings_total"), changes: await metric(shard, "nebula_hand_overs_total") };
}

describe("hand-over between shards", function () {
  this.timeout(300_000);

  it("2,000 devices follow a shard that joins and leave it when it drains: at most 3 redirects each, every group ranked once per change, no refusal", async () => {
    await using cluster = await startCluster();
    await using one = await cluster.start("one");
    await using two = await cluster.start("two");
    const life = new AbortController();
    using channels = new SharedChannels();
    const admin = channels.to(one.manager.address, 0);
    for (let group = 0; group < GROUPS; group++) {
      const deviceGroup = { name: `group-${group}`, spread: group === 0 ? 2 : 1 };
      await admin.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup }, { headers });
    }
    await eventually(async () => (await metric(one, "nebula_members")) === 2 && (await metric(two, "nebula_members")) === 2, {
      timeoutMs: SETTLE_MS,
    });

    const managers = () => [one.manager.address, two.manager.address];
    const devices = Array.from(
      { length: DEVICES },
      (_, index) => new LightDevice({ channels, index, deviceGroup: `group-${index % GROUPS}`, managers, headers, clock: systemClock }),
    );
    const running = devices.map((device) => device.run(life.signal));
    const served = () => devices.filter(({ servedBy }) => servedBy !== undefined).length;
    const servedBy = (shard: Shard) => devices.filter((device) => device.servedBy === shard.manager.address).length;
    await eventually(() => served() === DEVICES, { timeoutMs: SETTLE_MS });
    assert.ok(servedBy(one) > 0 && servedBy(two) > 0);
    assert.equal(Math.max(...devices.map(({ redirects }) => redirects)), 0, "the shard map leads to the right shard at once");
    const start = { one: await costs(one), two: await costs(two) };

    const three = await cluster.start("three");
    try {
      const settled = async () => (await metric(one, "nebula_hand_over_waiting")) + (await metric(two, "nebula_hand_over_waiting")) === 0;
      await eventually(() => servedBy(three) >= DEVICES / 10, { timeoutMs: SETTLE_MS });
      await eventually(async () => served() === DEVICES && (await settled()), { timeoutMs: SETTLE_MS });
      assert.ok(servedBy(three) < DEVICES, "the others keep what the newcomer does not own");
      for (const [shard, before] of [
        [one, start.one],
        [two, start.two],
      ] as const) {
        const { rankings, changes } = await costs(shard);
        assert.equal(changes - before.changes, 1);
        assert.ok(rankings > before.rankings && rankings - before.rankings <= GROUPS, `${rankings - before.rankings} groups ranked`);
      }
    } finally {
      await three[Symbol.asyncDispose](); // it drains
    }
    await eventually(() => served() === DEVICES, { timeoutMs: SETTLE_MS });
    assert.equal(servedBy(one) + servedBy(two), DEVICES);
    for (const [shard, before] of [
      [one, start.one],
      [two, start.two],
    ] as const) {
      const { rankings, changes } = await costs(shard);
      assert.equal(changes - before.changes, 2);
      assert.ok(rankings - before.rankings <= 2 * GROUPS, `${rankings - before.rankings} groups ranked in two changes`);
    }
    const redirects = devices.map((device) => device.redirects);
    assert.ok(Math.max(...redirects) <= 3, `${Math.max(...redirects)} redirects of one device`);
    assert.ok(
      redirects.some((count) => count === 0),
      "a device whose shard stayed the same was left alone",
    );
    assert.deepEqual(
      devices.flatMap(({ failures }) => failures),
      [],
    );
    life.abort();
    await Promise.all(running);
  });
});
