import { strict as assert } from "node:assert";
import { connect } from "node:net";
import { Registry } from "prom-client";
import { FORWARDED_FOR_HEADER, PART_TOKEN_HEADER, partToken } from "../common/access/part-token.ts";
import { systemClock } from "../common/clock/system-clock.ts";
import type { Drivers } from "../common/drivers.ts";
import { isNebulaError } from "../common/errors/nebula-error.ts";
import { silentLog } from "../common/log/log.ts";
import { LeaseMembership } from "../common/membership/lease-membership.ts";
import type { Member } from "../common/membership/membership.ts";
import { eventually } from "../common/testing/eventually.ts";
import { fastClock } from "../common/testing/fast-clock.ts";
import { MemoryLeases } from "../common/testing/memory-leases.ts";
import { VERSION } from "../common/version.ts";
import { Health, HealthCheckResponse_ServingStatus as Serving } from "../gen/grpc/health/v1/health_pb.ts";
import { AppService } from "../gen/nebula/v1/app_pb.ts";
import { ConfigService } from "../gen/nebula/v1/config_pb.ts";
import { DeviceGroupService } from "../gen/nebula/v1/device_group_pb.ts";
import { DeviceService } from "../gen/nebula/v1/device_pb.ts";
import { ShardService } from "../gen/nebula/v1/shard_pb.ts";
import { StatusService } from "../gen/nebula/v1/status_pb.ts";
import { startManager } from "./main.ts";
import { ADMIN, startManagerRig, TEST_SECRETS } from "./testing/manager-rig.ts";
import { plainStore } from "./testing/plain-store.ts";
import { RawClient } from "./testing/raw-client.ts";
import { TestMembership } from "./testing/test-membership.ts";
import { TestWatch } from "./testing/watch-rig.ts";

const headers = ADMIN;

describe("manager", () => {
  it("the manager delivers a change from the API to the devices", async () => {
    await using rig = await startManagerRig();
    const channel = rig.channel();
    await channel.unary(AppService.method.createApp, { app: { name: "web", dockerImage: "nginx:1" } }, { headers });
    await channel.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup: { name: "shops", apps: ["web"] } }, { headers });
    const watch = new TestWatch(channel, { deviceGroup: "shops", deviceId: "d", boot: "b" }, headers);
    await eventually(() => watch.last?.endsWith("nginx:1@1") ?? false);
    const { app } = await channel.unary(
      AppService.method.updateApp,
      { app: { name: "web", dockerImage: "nginx:2" }, updateFields: ["docker_image"] },
      { headers },
    );
    await eventually(() => watch.last?.endsWith("nginx:2@2") ?? false);
    const { config, etag } = await channel.unary(ConfigService.method.getConfig, { deviceGroup: "shops" }, { headers });
    const last = watch.answers.at(-1);
    assert.ok(last?.case === "config");
    assert.equal(last.value.etag, etag);
    assert.deepEqual(last.value.config, config);
    assert.equal(config?.apps[0]?.revision, app?.revision);
    const status = await channel.unary(StatusService.method.getStatus, {}, { headers });
    assert.deepEqual([status.watches, status.user, status.admin, status.cluster?.id], [1, "admin", true, rig.drivers.configStore.cluster.id]);
  });

  it("the manager announces the address as bound to workers", async () => {
    await using rig = await startManagerRig();
    const map = await rig.channel().unary(ShardService.method.getShardMap, { deviceGroup: "g", deviceId: "d" }, { headers });
    assert.deepEqual(
      map.shards.map(({ address }) => address),
      [rig.manager.address],
    );
    assert.equal(map.cluster?.epoch, 1n);
  });

  it("the manager refuses calls without, and with wrong, credentials", async () => {
    await using rig = await startManagerRig();
    const channel = rig.channel();
    const basic = (pair: string) => ({ authorization: `Basic ${Buffer.from(pair).toString("base64")}` });
    for (const wrong of [{}, basic("admin:wrong"), basic("root:secret"), { authorization: "Bearer no" }, { [PART_TOKEN_HEADER]: "no" }]) {
      await assert.rejects(channel.unary(StatusService.method.getStatus, {}, { headers: wrong }), (error) => isNebulaError(error, "unauthenticated"));
      const watch = new TestWatch(channel, { deviceGroup: "g" }, wrong);
      assert.ok(isNebulaError(await watch.ended, "unauthenticated"));
    }
    const encoded = Buffer.from(TEST_SECRETS.adminToken).toString("base64");
    for (const token of [TEST_SECRETS.adminToken, encoded]) {
      const { user } = await channel.unary(StatusService.method.getStatus, {}, { headers: { authorization: `Bearer ${token}` } });
      assert.equal(user, "admin");
    }
  });

  it("the manager lets another part of the cluster watch, and ask for the shard map and the status, and nothing else", async () => {
    await using rig = await startManagerRig();
    const channel = rig.channel();
    const part = { [PART_TOKEN_HEADER]: partToken(TEST_SECRETS.clusterKey) };
    await channel.unary(ShardService.method.getShardMap, { deviceGroup: "g" }, { headers: part });
    const watch = new TestWatch(channel, { deviceGroup: "g" }, part);
    await eventually(() => watch.last === "noSuchGroup");
    const refused = (error: unknown) => isNebulaError(error, "permission_denied");
    await assert.rejects(channel.unary(AppService.method.listApps, {}, { headers: part }), refused);
    assert.equal((await channel.unary(StatusService.method.getStatus, {}, { headers: part })).version, VERSION);
    await channel.unary(AppService.method.listApps, {}, { headers: { ...part, ...headers, [FORWARDED_FOR_HEADER]: "192.0.2.1" } });
  });

  it("the manager answers malformed bytes INVALID_ARGUMENT on every method, and serves on", async () => {
    await using rig = await startManagerRig();
    await using client = new RawClient(rig.port);
    for (const service of [AppService, DeviceGroupService, ConfigService, StatusService, ShardService]) {
      for (const method of service.methods) {
        assert.equal(await client.status(`/${service.typeName}/${method.name}`, Buffer.from([0x0a, 0xff, 0xff]), headers), 3, method.name);
      }
    }
    assert.equal(await client.status("/nebula.v1.AppService/NoSuchMethod", new Uint8Array(), headers), 12);
    await rig.channel().unary(StatusService.method.getStatus, {}, { headers });
  });

  it("the manager answers every violation with its field", async () => {
    await using rig = await startManagerRig();
    const watch = new TestWatch(rig.channel(), { deviceGroup: "no/name", keepaliveMs: 1 }, headers);
    const error = await watch.ended;
    assert.ok(isNebulaError(error, "invalid_argument"));
    assert.deepEqual(
      error.violations.map(({ field }) => field),
      ["device_group", "keepalive_ms"],
    );
  });

  it("the manager answers an unhandled error with an id alone, under which the log has the cause", async () => {
    await using rig = await startManagerRig({
      wrapDrivers: (drivers) => ({
        ...drivers,
        reportStore: Object.assign(Object.create(drivers.reportStore), { groups: () => Promise.reject(new Error("a detail of ours")) }),
      }),
    });
    await assert.rejects(
      rig.channel().unary(DeviceService.method.listDevices, {}, { headers: { ...headers, "x-request-id": "id-of-the-call" } }),
      (error) => isNebulaError(error, "internal") && error.message.includes("id-of-the-call") && !error.message.includes("detail"),
    );
    assert.ok(rig.logged.some((line) => line.includes("a detail of ours") && line.includes("id-of-the-call")));
    assert.ok(!rig.logged.some((line) => line.includes("secret") || line.includes(ADMIN.authorization)));
  });

  it("the manager refuses an address that another manager has, though both could share it", async () => {
    await using rig = await startManagerRig();
    await assert.rejects(
      startManagerRig({ settings: { grpcListen: { host: "127.0.0.1", port: rig.port } } }),
      (error) => isNebulaError(error, "failed_precondition") && error.message.includes(String(rig.port)),
    );
  });

  it("the manager serves watches without its membership, and ends with a message where another shard has its name", async () => {
    const leases = new MemoryLeases();
    const clock = fastClock(20);
    await using holder = new LeaseMembership({ table: leases.end(), clock, log: silentLog });
    await holder.join({ name: "shard-1", address: "other:1", boot: "other" });
    const table = leases.end();
    table.cut = true;
    await using membership = new LeaseMembership({ table, clock, log: silentLog });
    await using rig = await startManagerRig({ settings: { shard: "shard-1" }, wrapDrivers: (drivers) => ({ ...drivers, membership }) });
    const watch = new TestWatch(rig.channel(), { deviceGroup: "shops", deviceId: "d", boot: "b" }, headers);
    await eventually(() => watch.last === "noSuchGroup");
    assert.equal(rig.manager.failed.aborted, false);
    table.cut = false;
    await eventually(() => rig.manager.failed.aborted);
    assert.ok(isNebulaError(rig.manager.failed.reason, "failed_precondition"));
    assert.match(rig.manager.failed.reason.message, /NEBULA_SHARD "shard-1": the shard at other:1/);
    assert.equal(holder.self?.name, "shard-1");
    watch.close();
  });

  it("the manager ends watches with a hint, finishes calls in flight, and is then gone", async () => {
    const reached = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    await using rig = await startManagerRig({
      tuning: { stopMs: 20_000 },
      wrapDrivers: (drivers) => ({
        ...drivers,
        configStore: {
          ...plainStore(drivers.configStore),
          async write(entity) {
            reached.resolve();
            await go.promise;
            return drivers.configStore.write(entity);
          },
        },
      }),
    });
    const channel = rig.channel();
    const watch = new TestWatch(channel, { deviceGroup: "g", deviceId: "d", boot: "b" }, headers);
    await eventually(() => watch.answers.length === 1);
    const write = channel.unary(AppService.method.createApp, { app: { name: "web", dockerImage: "nginx:1" } }, { headers });
    await reached.promise;
    let over = false;
    const stopped = rig.manager.stop().then(() => {
      over = true;
    });
    assert.equal(await watch.ended, undefined);
    assert.equal(watch.last, "redirect");
    await assert.rejects(connected(rig.port), "no new connection is taken");
    assert.ok(!over, "the write is in flight");
    go.resolve();
    assert.equal((await write).app?.revision, 1n);
    await stopped;
  });

  it("the manager does not wait without limit for a client that does not read", async () => {
    await using rig = await startManagerRig({ tuning: { stopMs: 200 } });
    const channel = rig.channel();
    const env = { ...Object.fromEntries(Array.from({ length: 8 }, (_, index) => [`K${index}`, "x".repeat(7000)])) };
    await channel.unary(AppService.method.createApp, { app: { name: "a", dockerImage: "a", envVars: env } }, { headers });
    await channel.unary(AppService.method.createApp, { app: { name: "b", dockerImage: "b", envVars: env } }, { headers });
    await channel.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup: { name: "g", apps: ["a", "b"] } }, { headers });
    await using stuck = new RawClient(rig.port);
    stuck.call("/nebula.v1.ConfigService/WatchConfig", Buffer.from([0x0a, 1, 0x67]), headers); // device_group: "g"; never read
    const pushed = rig.registry.getSingleMetric("nebula_pushes_total");
    await eventually(async () => (await pushed?.get())?.values[0]?.value === 1);
    const began = performance.now();
    await rig.manager.stop();
    assert.ok(performance.now() - began >= 190, "it was waited for");
    await eventually(() => stuck.session.destroyed);
  });

  it("every caller is admin with authentication off", async () => {
    await using rig = await startManagerRig({ settings: { authEnabled: false } });
    await rig.channel().unary(AppService.method.createApp, { app: { name: "web", dockerImage: "nginx:1" } });
  });

  it("the manager leaves nothing running when it cannot start", async () => {
    await using rig = await startManagerRig();
    const settings = {
      grpcListen: { host: "127.0.0.1", port: rig.port },
      grpcAdvertise: undefined,
      redirect: true,
      cacheTimeMs: 10,
      auditRetentionMs: 3_600_000,
      maxDevicesPerGroup: 100_000,
      authEnabled: true,
    };
    const options = { secrets: TEST_SECRETS, drivers: rig.drivers, clock: systemClock, log: silentLog, registry: new Registry() };
    await assert.rejects(startManager({ settings: { ...settings, admin: { user: "admin" } }, ...options }));
  });

  it("the manager drains when it stops beside another shard: it leaves, serves two renewals longer, and hands its watches over without a refusal", async () => {
    const other: Member = { name: "other", address: "other.example:1", boot: "other" };
    const membership = new TestMembership(undefined, [other]);
    await using rig = await startManagerRig({ settings: { drainMs: 3000 }, wrapDrivers: (drivers) => ({ ...drivers, membership }) });
    const channel = rig.channel();
    const open = (index: number) =>
      new TestWatch(channel, { deviceGroup: `g${index % 5}`, deviceId: `d${index}`, boot: "b", serveHere: true }, headers);
    const watches = Array.from({ length: 200 }, (_, index) => open(index));
    await eventually(() => watches.every(({ last }) => last === "noSuchGroup"));
    const stopped = rig.manager.stop();
    assert.equal(membership.self, undefined);
    assert.deepEqual(rig.manager.notReady, ["it is stopping"]);
    assert.equal((await channel.unary(Health.method.check, { service: "" })).status, Serving.NOT_SERVING);
    assert.equal(rig.manager.watches, 200, "the others have not read yet that it left");
    const early = open(200);
    await eventually(() => early.last === "noSuchGroup");

    await eventually(() => rig.manager.watches < 200, { everyMs: 5 });
    assert.ok(rig.manager.watches > 50, `${rig.manager.watches}: not all at once`);
    const late = open(201);
    await late.ended;
    const [redirect] = late.answers;
    assert.ok(redirect?.case === "redirect" && redirect.value.address === other.address);
    const ends = await Promise.all([...watches, early].map(({ ended }) => ended));
    assert.deepEqual(
      ends.filter((end) => end !== undefined),
      [],
      "nobody was refused",
    );
    for (const { answers } of [...watches, early]) {
      const last = answers.at(-1);
      assert.ok(last?.case === "redirect" && last.value.address === "" && last.value.retryAfterMs === 0);
    }
    await stopped;
  });

  it("the manager refuses calls beyond its room with a waiting time while the store hangs, answers those that need no store, and the rest later", async () => {
    const store = Promise.withResolvers<void>();
    const wrapDrivers = (drivers: Drivers): Drivers => ({
      ...drivers,
      configStore: { ...plainStore(drivers.configStore), get: (key, options) => store.promise.then(() => drivers.configStore.get(key, options)) },
    });
    await using rig = await startManagerRig({ wrapDrivers });
    const channels = [rig.channel(), rig.channel(), rig.channel()];
    const outcomes: string[] = [];
    const calls = Array.from({ length: 2600 }, (_, index) =>
      channels[index % channels.length]?.unary(AppService.method.getApp, { name: "web" }, { headers }).catch((error) => {
        outcomes.push(isNebulaError(error, "unavailable") && (error.retryAfterMs ?? 0) >= 5000 ? "refused" : error.kind);
      }),
    );
    await eventually(() => outcomes.length === 2600 - 2512);
    assert.deepEqual(new Set(outcomes), new Set(["refused"]));
    const other = rig.channel();
    await other.unary(StatusService.method.getStatus, {}, { headers });
    await other.unary(ShardService.method.getShardMap, { deviceGroup: "g", deviceId: "d" }, { headers });
    store.resolve();
    await Promise.all(calls);
    assert.equal(outcomes.filter((outcome) => outcome === "not_found").length, 2512);
  });

  it("the manager ends its watches at once when it stops and there is no other shard", async () => {
    await using rig = await startManagerRig({ settings: { drainMs: 60_000 } });
    const watch = new TestWatch(rig.channel(), { deviceGroup: "g", deviceId: "d", boot: "b" }, headers);
    await eventually(() => watch.last === "noSuchGroup");
    const began = performance.now();
    await rig.manager.stop();
    assert.ok(performance.now() - began < 3000);
    const last = watch.answers.at(-1);
    assert.ok(last?.case === "redirect" && last.value.retryAfterMs > 0);
  });
});

function connected(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve();
    });
    socket.on("error", reject);
  });
}
