import { strict as assert } from "node:assert";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { AppService, PortProtocol } from "../../gen/nebula/v1/app_pb.ts";
import { ConfigService } from "../../gen/nebula/v1/config_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { UserGroupService } from "../../gen/nebula/v1/user_group_pb.ts";
import { UserService } from "../../gen/nebula/v1/user_pb.ts";
import { Api } from "../harness/api.ts";
import { Server } from "../harness/server.ts";
import { SimulatedWorker } from "../harness/simulated-worker.ts";

/** Within this a change of rights on one shard holds on another, on a slow machine as well: it is announced, and no cache's time is waited for. */
const ANNOUNCED_MS = 15_000;
const CACHE_TIME = "60s";

describe("what is done on one shard holds on the other", function () {
  this.timeout(120_000);
  let server: Server;
  let shards: readonly [Api, Api];
  Server.forSuite({ cluster: true, env: { NEBULA_CACHE_TIME: CACHE_TIME } }, (started) => {
    server = started;
    const [one = assert.fail(), other = assert.fail()] = started.grpcPorts.map((port) => new Api(`127.0.0.1:${port}`, started.password));
    shards = [one, other];
  });
  after(() => {
    for (const api of shards ?? []) api[Symbol.dispose]();
  });

  const asAdmin = () => ({ headers: shards[0].headers, timeoutMs: 20_000 });
  const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` }, timeoutMs: 20_000 });
  const basic = (user: string, password: string) => ({
    headers: { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` },
    timeoutMs: 20_000,
  });

  it("each write is read at once, written again and listed by the other, whichever was first", async () => {
    const group = "written-in-turn";
    await shards[0].createApp({ name: "in-turn", dockerImage: "shop:0" });
    await shards[1].createGroup(group, ["in-turn"]);
    for (let i = 1; i <= 20; i++) {
      const [writer, reader] = i % 2 === 0 ? shards : [shards[1], shards[0]];
      const { revision } = await writer.updateApp("in-turn", { dockerImage: `shop:${i}` });
      const { app } = await reader.channel.unary(AppService.method.getApp, { name: "in-turn" }, asAdmin());
      assert.deepEqual([app?.revision, app?.dockerImage], [revision, `shop:${i}`]);
      const { config } = await reader.channel.unary(ConfigService.method.getConfig, { deviceGroup: group }, asAdmin());
      assert.equal(config?.apps[0]?.app?.dockerImage, `shop:${i}`, "a config has no app that is older than what was answered");
      const name = `listed-${i}`;
      await writer.createGroup(name, []);
      const { deviceGroups } = await reader.channel.unary(DeviceGroupService.method.listDeviceGroups, {}, asAdmin());
      assert.ok(deviceGroups.some((each) => each.name === name));
      await writer.deleteGroup(name);
      const after = await reader.channel.unary(DeviceGroupService.method.listDeviceGroups, {}, asAdmin());
      assert.ok(!after.deviceGroups.some((each) => each.name === name));
    }
  });

  it("a user logs in at once, gets and loses rights, and is logged out", async () => {
    await shards[0].createApp({ name: "guarded", dockerImage: "shop:1" });
    const { generatedToken: token } = await shards[0].channel.unary(
      UserService.method.createUser,
      { name: "ann", password: "ann's password" },
      asAdmin(),
    );
    const read = async (api: Api, login = bearer(token)) => {
      try {
        await api.channel.unary(AppService.method.getApp, { name: "guarded" }, login);
        return "ok";
      } catch (error) {
        for (const kind of ["permission_denied", "unauthenticated"] as const) if (isNebulaError(error, kind)) return kind;
        throw error;
      }
    };
    const isOnBoth = async (wanted: string) => {
      const within = { timeoutMs: ANNOUNCED_MS, everyMs: 20 };
      for (const api of shards) await eventually(async () => (await read(api)) === wanted, within);
    };
    assert.equal(await read(shards[1]), "permission_denied", "the token is known at once");
    assert.equal(await read(shards[1], basic("ann", "ann's password")), "permission_denied", "and so is the password");
    const userGroup = { name: "readers", groupMembers: ["ann"], apps: { guarded: "ro" } };
    await shards[1].channel.unary(UserGroupService.method.createUserGroup, { userGroup }, asAdmin());
    await isOnBoth("ok");
    await shards[0].channel.unary(
      UserGroupService.method.updateUserGroup,
      { userGroup: { ...userGroup, groupMembers: [] }, updateFields: ["group_members"] },
      asAdmin(),
    );
    await isOnBoth("permission_denied");
    await shards[1].channel.unary(UserService.method.refreshUserToken, { name: "ann" }, asAdmin());
    await isOnBoth("unauthenticated");
  });

  it("a poll by a worker of the original makes a write of ports that it does not know warn on either", async () => {
    const name = "polled-by-old-workers";
    await shards[0].createApp({ name, dockerImage: "shop:0" });
    await shards[0].createGroup(name, [name]);
    const startingPorts = [{ hostPort: 53, containerPort: 53, protocol: PortProtocol.UDP }];
    const request = { app: { name, startingPorts }, updateFields: ["starting_ports"] };
    const warnings = async (api: Api) => (await api.channel.unary(AppService.method.updateApp, request, asAdmin())).warnings;
    for (const api of shards) assert.deepEqual(await warnings(api), [], "nobody polls");
    const poll = await fetch(`${server.url}/api/v2/device_groups/${name}/info`, { headers: shards[0].headers });
    assert.equal(poll.status, 200);
    for (const api of shards)
      await eventually(async () => assert.match((await warnings(api)).join(), /^workers of the original that poll .* without host port 53\/udp/), {
        timeoutMs: ANNOUNCED_MS,
      });
  });

  it("failed logins are counted over both, and hold up the next guess on either", async () => {
    const guess = async (api: Api, i: number) => {
      try {
        await api.channel.unary(AppService.method.listApps, {}, basic("guessed", `guess ${i}`));
        return assert.fail("nobody has this password");
      } catch (error) {
        if (isNebulaError(error, "unauthenticated")) return "looked at";
        if (isNebulaError(error, "resource_exhausted")) return "refused";
        throw error;
      }
    };
    const answers: string[] = [];
    while (answers.at(-1) !== "refused" && answers.length < 20) answers.push(await guess(shards[answers.length % 2 === 0 ? 0 : 1], answers.length));
    assert.equal(answers.at(-1), "refused", "ten failures of one name from one address, on any shard, refuse the next one");
    assert.ok(answers.length >= 10 && answers.length <= 13, `${answers.length} guesses`);
  });

  it("a device enrols at one with a token of the other, and is cut off at one by a revocation on the other", async () => {
    await shards[0].createGroup("tills", []);
    const { token: enrollToken } = await shards[0].channel.unary(AccessService.method.createEnrolmentToken, { deviceGroup: "tills" }, asAdmin());
    for (const [port, revoking] of [
      [server.grpcPorts[1], shards[0]],
      [server.grpcPorts[0], shards[1]],
    ] as const) {
      const deviceId = `till-${port}`;
      const isFirst = revoking === shards[0];
      const token = isFirst
        ? enrollToken
        : (await revoking.channel.unary(AccessService.method.createEnrolmentToken, { deviceGroup: "tills" }, asAdmin())).token;
      await using worker = new SimulatedWorker({ server: `grpc://127.0.0.1:${port}`, deviceId, enrollToken: token });
      await revoking.reported(deviceId);
      await revoking.channel.unary(AccessService.method.revokeDeviceToken, { deviceId }, asAdmin());
      await worker.program.printed(/does not know this device.s token any more/);
    }
  });
});
