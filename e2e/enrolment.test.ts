import { strict as assert } from "node:assert";
import { once } from "node:events";
import { readdirSync, statSync } from "node:fs";
import { createServer, request as httpRequest } from "node:http";
import { join } from "node:path";
import { type ErrorKind, isNebulaError } from "../common/errors/nebula-error.ts";
import { listen } from "../common/http/listen.ts";
import { eventually } from "../common/testing/eventually.ts";
import { sampleReport } from "../common/testing/sample-report.ts";
import { AccessService } from "../gen/nebula/v1/access_pb.ts";
import { ConfigService } from "../gen/nebula/v1/config_pb.ts";
import { DeviceGroupService } from "../gen/nebula/v1/device_group_pb.ts";
import { ReportService } from "../gen/nebula/v1/report_pb.ts";
import { ShardService } from "../gen/nebula/v1/shard_pb.ts";
import { Server } from "./harness/server.ts";
import { SimulatedWorker, type SimulatedWorkerOptions } from "./harness/simulated-worker.ts";

const refused = (kind: ErrorKind) => (error: unknown) => {
  assert.ok(isNebulaError(error, kind), String(error));
  return true;
};

describe("a device that enrols", function () {
  this.timeout(60_000);
  let server: Server;
  let opened = new AsyncDisposableStack();
  let workers: SimulatedWorker[] = [];

  Server.forSuite({}, async (started) => {
    server = started;
    for (const group of ["shop", "pos"]) await server.api.createGroup(group, []);
  });
  afterEach(async function () {
    if (this.currentTest?.state === "failed") for (const worker of workers) console.log(worker.output.slice(-4000));
    workers = [];
    await opened.disposeAsync();
    opened = new AsyncDisposableStack();
  });

  const device = (options: Partial<SimulatedWorkerOptions> & Pick<SimulatedWorkerOptions, "deviceId">): SimulatedWorker => {
    const worker = opened.use(new SimulatedWorker({ server: server.url, ...options }));
    workers.push(worker);
    return worker;
  };

  const asAdmin = () => ({ headers: server.api.headers, timeoutMs: 10_000 });
  const asDevice = (token: string | undefined) => ({ headers: { authorization: `Bearer ${token}` }, timeoutMs: 10_000 });

  const self = (deviceId: string) => ({ deviceId, deviceGroup: "shop" });

  async function enrolmentToken(deviceGroup: string, uses = 1): Promise<string> {
    return (await server.api.channel.unary(AccessService.method.createEnrolmentToken, { deviceGroup, uses }, asAdmin())).token;
  }

  async function tokenOf(deviceId: string) {
    const { deviceTokens } = await server.api.channel.unary(AccessService.method.listDeviceTokens, {}, asAdmin());
    return deviceTokens.find((token) => token.deviceId === deviceId);
  }

  async function usesLeft(deviceGroup: string): Promise<number> {
    const { enrolmentTokens } = await server.api.channel.unary(AccessService.method.listEnrolmentTokens, { deviceGroup }, asAdmin());
    return enrolmentTokens.reduce((sum, token) => sum + token.usesLeft, 0);
  }

  const revoke = (deviceId: string) => server.api.channel.unary(AccessService.method.revokeDeviceToken, { deviceId }, asAdmin());

  /** A device that is in, and has reported. */
  async function inGroup(deviceId: string, deviceGroup: string, more: Partial<SimulatedWorkerOptions> = {}): Promise<SimulatedWorker> {
    const worker = device({ deviceId, enrollToken: await enrolmentToken(deviceGroup), ...more });
    await server.api.reported(deviceId);
    return worker;
  }

  for (const [how, address] of [
    ["gateway", () => server.url],
    ["manager", () => server.grpcUrl],
  ] as const) {
    it(`a device gets a token of its own at a ${how}, watches its device_group and reports, and needs the enrolment token no more`, async () => {
      const deviceId = `at-a-${how}`;
      const enrollToken = await enrolmentToken("shop");
      const worker = device({ deviceId, server: address(), enrollToken });
      assert.equal((await server.api.reported(deviceId)).deviceGroup, "shop");
      await worker.program.printed(/its device_group is shop/);
      assert.equal((await tokenOf(deviceId))?.deviceGroup, "shop");
      assert.equal(statSync(join(worker.dataDir, "device-token.json")).mode & 0o777, 0o600);
      await worker.program.stop();
      await worker.startAgain({ env: { NEBULA_ENROLL_TOKEN: "" } });
      await worker.program.printed(/"connected to a manager"/);
      for (const secret of [enrollToken, ...worker.secrets]) assert.ok(!worker.output.includes(secret), "a secret is in the log");
      assert.ok(!server.program.output.includes(enrollToken));
      assert.ok(readdirSync(worker.dataDir).every((name) => (statSync(join(worker.dataDir, name)).mode & 0o077) === 0));
    });
  }

  it("a device is admitted by one use, though the answer is lost, and again after a kill", async () => {
    const proxy = opened.use(await startProxy(server.httpPort));
    proxy.loses = (path) => path.endsWith("/EnrollDevice");
    const enrollToken = await enrolmentToken("pos", 2);
    const worker = device({ deviceId: "lossy", server: proxy.url, enrollToken });
    await eventually(() => proxy.lost > 1, { timeoutMs: 20_000 });
    const [secret] = worker.secrets;
    await worker.startAgain();
    await eventually(() => proxy.lost > 3, { timeoutMs: 20_000 });
    proxy.loses = () => false;
    await server.api.reported("lossy");
    assert.deepEqual(worker.secrets, [secret]);
    assert.equal(await usesLeft("pos"), 1);
  });

  it("a device is refused while another has its device id, says why, and is admitted once an operator revoked the other's token", async () => {
    const first = await inGroup("twin", "shop");
    const second = device({ deviceId: "twin", enrollToken: await enrolmentToken("shop") });
    await second.program.printed(/the device can't be enrolled/);
    assert.match(second.output, /the device twin has another token.*nebulactl devices revoke twin/);
    await assert.rejects(
      server.api.channel.unary(ShardService.method.getShardMap, self("twin"), asDevice(second.secrets[0])),
      refused("unauthenticated"),
    );
    await first.program.stop();
    await revoke("twin");
    await second.program.printed(/"connected to a manager"/);
  });

  it("a device is cut off at its revocation, before the next recheck, and enrols again with an enrolment token alone", async () => {
    const worker = await inGroup("revoked", "shop");
    const [token] = worker.secrets;
    const watch = server.api.channel.openStream(
      ConfigService.method.watchConfig,
      { deviceGroup: "shop", deviceId: "revoked", boot: "by-hand", serveHere: true },
      { headers: asDevice(token).headers },
    );
    await once(watch, "data");
    const ended = once(watch, "error");
    watch.resume();
    const started = performance.now();
    await revoke("revoked");
    await ended;
    assert.ok(performance.now() - started < 5000, `it took ${Math.round(performance.now() - started)} ms`);
    const report = { reports: [sampleReport({ deviceId: "revoked", deviceGroup: "shop" })] };
    await assert.rejects(server.api.channel.unary(ReportService.method.submitReports, report, asDevice(token)), refused("unauthenticated"));
    await worker.program.printed(/does not know this device's token any more/);
    await worker.program.printed(/the device can't be enrolled/); // its enrolment token is used up
    assert.ok(!worker.program.ended);
    assert.deepEqual(worker.secrets[0], token, "the token is kept until there is another");
    await worker.startAgain({ enrollToken: await enrolmentToken("shop") });
    await eventually(() => worker.secrets.length === 1 && worker.secrets[0] !== token);
    await worker.program.printed(/"connected to a manager"/);
  });

  it("a device rotates its token while it watches, and is never without one after a kill at any time", async () => {
    const worker = await inGroup("turning", "shop", { env: { NEBULA_TOKEN_ROTATION: "1s" } });
    const [first] = worker.secrets;
    await eventually(async () => (await tokenOf("turning"))?.rotatedAt !== undefined, { timeoutMs: 20_000 });
    const asBefore = () => server.api.channel.unary(ShardService.method.getShardMap, self("turning"), asDevice(first));
    await eventually(() => assert.rejects(asBefore(), refused("unauthenticated")), { timeoutMs: 1000, everyMs: 20 }); // another shard hears of it
    for (let kills = 0; kills < 4; kills++) {
      await worker.startAgain();
      const before = await tokenOf("turning");
      await eventually(async () => (await tokenOf("turning"))?.rotatedAt?.seconds !== before?.rotatedAt?.seconds, { timeoutMs: 20_000 });
    }
    assert.doesNotMatch(worker.output, /does not know this device's token|the server refuses this worker/);
    await worker.startAgain({ env: { NEBULA_TOKEN_ROTATION: "0s" } });
    await worker.program.printed(/"connected to a manager"/);
  });

  it("a device speaks for itself in its own device_group, and for nothing else", async () => {
    const worker = await inGroup("honest", "shop");
    const login = asDevice(worker.secrets[0]);
    const { channel } = server.api;
    const submit = (deviceId: string, deviceGroup: string) =>
      channel.unary(ReportService.method.submitReports, { reports: [sampleReport({ deviceId, deviceGroup })] }, login);
    await submit("honest", "shop");
    await channel.unary(ConfigService.method.getConfig, { deviceGroup: "shop" }, login);
    await channel.unary(ShardService.method.getShardMap, self("honest"), login);
    for (const forbidden of [
      () => submit("another", "shop"),
      () => submit("honest", "pos"),
      () => channel.unary(ConfigService.method.getConfig, { deviceGroup: "pos" }, login),
      () => channel.unary(AccessService.method.listDeviceTokens, {}, login),
      () => channel.unary(AccessService.method.revokeDeviceToken, { deviceId: "honest" }, login),
      () => channel.unary(AccessService.method.createEnrolmentToken, { deviceGroup: "shop" }, login),
      () => channel.unary(DeviceGroupService.method.listDeviceGroups, {}, login),
      () => channel.serverStream(ConfigService.method.watchConfig, { deviceGroup: "pos", deviceId: "honest", boot: "b" }, login).next(),
      () => channel.serverStream(ConfigService.method.watchConfig, { deviceGroup: "shop", deviceId: "another", boot: "b" }, login).next(),
    ]) {
      await assert.rejects(forbidden(), refused("permission_denied"));
    }
  });

  it("a device is of the device_group of its token, and refuses to be of another", async () => {
    const worker = device({ deviceId: "moved", enrollToken: await enrolmentToken("shop"), env: { NEBULA_DEVICE_GROUP: "pos" } });
    assert.equal(await worker.program.exit(), 1);
    assert.match(worker.output, /bound to the device_group 'shop', and NEBULA_DEVICE_GROUP is 'pos'/);
    await worker.startAgain();
    assert.notEqual(await worker.program.exit(), 0);
    await worker.startAgain({ env: { NEBULA_DEVICE_GROUP: "shop" } });
    await worker.program.printed(/"connected to a manager"/);
  });

  it("a device does not start with nothing that says its device_group", async () => {
    const { program } = device({ deviceId: "nowhere" });
    assert.notEqual(await program.exit(), 0);
    assert.match(program.output, /NEBULA_DEVICE_GROUP.*NEBULA_ENROLL_TOKEN/);
  });
});

/** A proxy before a gateway that loses the answers to some calls, once the gateway gave them. */
async function startProxy(port: number) {
  const proxy = {
    url: "",
    lost: 0,
    loses: (_path: string): boolean => false,
    async [Symbol.asyncDispose]() {
      listener.closeAllConnections();
      listener.close();
      await once(listener, "close");
    },
  };
  const listener = createServer((incoming, answer) => {
    const { url: path = "", method, headers } = incoming;
    const onward = httpRequest({ host: "127.0.0.1", port, path, method, headers }, (response) => {
      if (!proxy.loses(path)) {
        answer.writeHead(response.statusCode ?? 502, response.headers);
        response.pipe(answer);
        return;
      }
      response.resume();
      response.on("end", () => {
        proxy.lost++;
        answer.destroy();
      });
    });
    onward.on("error", () => answer.destroy());
    incoming.pipe(onward);
  });
  const { port: own } = await listen(listener, { host: "127.0.0.1", port: 0 }, "the proxy");
  proxy.url = `http://127.0.0.1:${own}`;
  return proxy;
}
