import { strict as assert } from "node:assert";
import { connect } from "node:net";
import { Registry } from "prom-client";
import { FORWARDED_FOR_HEADER, PART_TOKEN_HEADER, partToken } from "../common/access/part-token.ts";
import { systemClock } from "../common/clock/system-clock.ts";
import { isNebulaError } from "../common/errors/nebula-error.ts";
import { silentLog } from "../common/log/log.ts";
import { eventually } from "../common/testing/eventually.ts";
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
import { TestWatch } from "./testing/watch-rig.ts";

const headers = ADMIN;

describe("manager", () => {
  it("brings a change from the API to the devices", async () => {
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
    assert.deepEqual([status.watches, status.user, status.cluster?.id], [1, "admin", rig.drivers.configStore.cluster.id]);
  });

  it("tells workers the address as bound", async () => {
    await using rig = await startManagerRig();
    const map = await rig.channel().unary(ShardService.method.getShardMap, { deviceGroup: "g", deviceId: "d" }, { headers });
    assert.deepEqual(
      map.shards.map(({ address }) => address),
      [rig.manager.address],
    );
    assert.equal(map.cluster?.epoch, 1n);
  });

  it("refuses calls without, and with wrong, credentials", async () => {
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

  it("lets another part of the cluster watch and ask for the shard map, and nothing else", async () => {
    await using rig = await startManagerRig();
    const channel = rig.channel();
    const part = { [PART_TOKEN_HEADER]: partToken(TEST_SECRETS.clusterKey) };
    await channel.unary(ShardService.method.getShardMap, { deviceGroup: "g" }, { headers: part });
    const watch = new TestWatch(channel, { deviceGroup: "g" }, part);
    await eventually(() => watch.last === "noSuchGroup");
    const refused = (error: unknown) => isNebulaError(error, "permission_denied");
    await assert.rejects(channel.unary(AppService.method.listApps, {}, { headers: part }), refused);
    await assert.rejects(channel.unary(StatusService.method.getStatus, {}, { headers: part }), refused);
    await channel.unary(AppService.method.listApps, {}, { headers: { ...part, ...headers, [FORWARDED_FOR_HEADER]: "192.0.2.1" } });
  });

  it("answers malformed bytes INVALID_ARGUMENT on every method, and goes on", async () => {
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

  it("says every violation with its field", async () => {
    await using rig = await startManagerRig();
    const watch = new TestWatch(rig.channel(), { deviceGroup: "no/name", keepaliveMs: 1 }, headers);
    const error = await watch.ended;
    assert.ok(isNebulaError(error, "invalid_argument"));
    assert.deepEqual(
      error.violations.map(({ field }) => field),
      ["device_group", "keepalive_ms"],
    );
  });

  it("tells a caller nothing of a fault but an id, under which the log has the cause", async () => {
    await using rig = await startManagerRig({
      wrapDrivers: (drivers) => ({
        ...drivers,
        reportStore: Object.assign(Object.create(drivers.reportStore), { listDevices: () => Promise.reject(new Error("a detail of ours")) }),
      }),
    });
    await assert.rejects(
      rig.channel().unary(DeviceService.method.listDevices, {}, { headers: { ...headers, "x-request-id": "id-of-the-call" } }),
      (error) => isNebulaError(error, "internal") && error.message.includes("id-of-the-call") && !error.message.includes("detail"),
    );
    assert.ok(rig.logged.some((line) => line.includes("a detail of ours") && line.includes("id-of-the-call")));
    assert.ok(!rig.logged.some((line) => line.includes("secret") || line.includes(ADMIN.authorization)));
  });

  it("refuses an address that another manager has, though both could share it", async () => {
    await using rig = await startManagerRig();
    await assert.rejects(
      startManagerRig({ settings: { grpcListen: { host: "127.0.0.1", port: rig.port } } }),
      (error) => isNebulaError(error, "failed_precondition") && error.message.includes(String(rig.port)),
    );
  });

  it("ends watches with a hint, finishes what is in flight, and is then gone", async () => {
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

  it("does not wait for ever for a client that does not read", async () => {
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

  it("with authentication off everybody is admin", async () => {
    await using rig = await startManagerRig({ settings: { authEnabled: false } });
    await rig.channel().unary(AppService.method.createApp, { app: { name: "web", dockerImage: "nginx:1" } });
  });

  it("leaves nothing running when it cannot start", async () => {
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
