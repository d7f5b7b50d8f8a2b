import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Redis } from "ioredis";
import { Registry } from "prom-client";
import { StatusChangeSchema } from "../../gen/nebula/v1/device_pb.ts";
import { systemClock } from "../clock/system-clock.ts";
import { isNebulaError } from "../errors/nebula-error.ts";
import type { FeedEvent } from "../feed/change-feed.ts";
import { createLog } from "../log/log.ts";
import { GATEWAY_DRIVERS, MANAGER_DRIVERS, openDrivers, REPORTER_DRIVERS } from "../open-drivers.ts";
import { eventually } from "../testing/eventually.ts";
import { freePort } from "../testing/free-port.ts";
import { redisUrl, requireServer } from "../testing/servers.ts";

/** Drivers of several processes of one cluster, on one data folder each. */
async function startProcesses(redis: string) {
  await using stack = new AsyncDisposableStack();
  const lines: string[] = [];
  const log = createLog({ level: "info", part: "drivers", destination: { write: (line: string) => void lines.push(line) } });
  const clusterKey = async () => "cluster key of a test of drivers";
  const registry = new Registry();
  const base = { store: "sqlite:", reports: "sqlite:", bus: "memory:", cacheTimeMs: 10_000, reportTtlMs: 93_600_000 };
  const optionsOf = async () => {
    const dataDir = await mkdtemp(join(tmpdir(), "nebula-redis-drivers-"));
    stack.defer(() => rm(dataDir, { recursive: true, force: true }));
    return { settings: { ...base, redis, dataDir }, clock: systemClock, log, clusterKey };
  };
  const manager = stack.use(await openDrivers(MANAGER_DRIVERS, { ...(await optionsOf()), registry }));
  const gateway = stack.use(await openDrivers(GATEWAY_DRIVERS, await optionsOf()));
  const reporter = stack.use(await openDrivers(REPORTER_DRIVERS, await optionsOf()));
  const opened = stack.move();
  return { manager, gateway, reporter, lines, registry, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

describe("drivers on Redis", () => {
  let url = "";
  before(async function () {
    url = redisUrl(await requireServer(this, "redis"));
  });

  it("drivers on Redis deliver a manager's announcement to a gateway, and a reporter's to a manager", async () => {
    await using processes = await startProcesses(url);
    const { manager, gateway, reporter, lines } = processes;
    const [atGateway, atManager]: FeedEvent[][] = [[], []];
    gateway.changeFeed.subscribe((event) => atGateway?.push(event));
    manager.changeFeed.subscribe((event) => atManager?.push(event));
    using _following = await manager.changeFeed.followStatus("shops");
    manager.changeFeed.publish({ kind: "access", subject: "user/alice" });
    reporter.changeFeed.publish({
      kind: "status",
      deviceGroup: "shops",
      news: { changes: [create(StatusChangeSchema, { deviceId: "device-1", writtenAt: 7n })], presence: [] },
    });
    await eventually(() => atGateway?.length === 1 && atManager?.length === 2);
    assert.deepEqual(atGateway, [{ kind: "access", subject: "user/alice" }]);
    assert.deepEqual(atManager?.map(({ kind }) => kind).sort(), ["access", "status"]);
    assert.equal(manager.membership.alone, false);
    assert.equal(lines.filter((line) => /"mode":"single","version":"\d+\.\d+/.test(line)).length, 3, "each process says what it found");
    assert.match(await processes.registry.metrics(), /nebula_hints_rejected_total\{what="event"\} 0/);
  });

  it("drivers on Redis are opened without a server, within a few seconds, and say so", async () => {
    const startedAt = performance.now();
    await using processes = await startProcesses(`redis://127.0.0.1:${await freePort()}`);
    const { manager, lines } = processes;
    assert.ok(performance.now() - startedAt < 15_000);
    assert.ok(lines.some((line) => line.includes("starts without")));
    assert.equal(await manager.configCache.get("shops"), undefined);
    assert.equal(await manager.loginCounts.read(["token 10.0.0.1"]), undefined);
    manager.configCache.put("shops", { bytes: Uint8Array.from([1]), etag: "e", madeFrom: [] });
    manager.changeFeed.publish({ kind: "access", subject: "user/alice" });
    manager.loginCounts.add(["token 10.0.0.1"]);
    await manager.polledMarks.mark(["shops"]);
    assert.equal(await manager.polledMarks.isMarked("shops"), false);
    await manager.membership.join({ name: "a", address: "a:1", boot: "b" });
    assert.deepEqual([manager.membership.self, manager.membership.reachable], [undefined, false]);
    await eventually(async () => assert.match(await processes.registry.metrics(), /nebula_hints_lost_total\{what="publish"\} 1/));
  });

  it("drivers on Redis need no rights but those of docs/redis.md", async () => {
    const [, rules = ""] = /^ACL SETUSER nebula on >PASSWORD (.+)$/m.exec(readFileSync("docs/redis.md", "utf8")) ?? [];
    const user = `nebula-${randomBytes(4).toString("hex")}`;
    const admin = new Redis(url);
    await admin.call("ACL", "SETUSER", user, "on", ">secret", ...rules.split(" "));
    try {
      await using processes = await startProcesses(`${url.replace("redis://", `redis://${user}:secret@`)}/3`);
      const { manager, gateway, lines } = processes;
      const events: FeedEvent[] = [];
      gateway.changeFeed.subscribe((event) => events.push(event));
      (await manager.changeFeed.followStatus("shops"))[Symbol.dispose]();
      manager.changeFeed.publish({ kind: "access", subject: "user/alice" });
      manager.configCache.put("shops", { bytes: Uint8Array.from([1]), etag: "e", madeFrom: [] });
      await eventually(async () => assert.equal((await manager.configCache.get("shops"))?.etag, "e"));
      manager.loginCounts.add(["token 10.0.0.1"]);
      await eventually(async () => assert.equal((await manager.loginCounts.read(["token 10.0.0.1"]))?.[0]?.failures, 1));
      manager.loginCounts.clear("token 10.0.0.1");
      await manager.polledMarks.mark(["shops"]);
      await eventually(() => manager.polledMarks.isMarked("shops"));
      await manager.membership.join({ name: "a", address: "a:1", boot: "b" });
      assert.equal(manager.membership.self?.name, "a");
      await manager.membership.leave();
      await eventually(() => events.length === 1);
      await eventually(() => assert.deepEqual(manager.membership.members(), []));
      for (const what of ["publish", "put"])
        assert.match(await processes.registry.metrics(), new RegExp(`nebula_hints_lost_total\\{what="${what}"\\} 0`));
      assert.deepEqual(
        lines.filter((line) => JSON.parse(line).level !== "info" && JSON.parse(line).level !== 30),
        [],
      );
      const denied = JSON.stringify(await admin.call("ACL", "LOG")).split(user).length - 1;
      assert.equal(denied, 0, "the server refused nothing");
    } finally {
      await admin.call("ACL", "DELUSER", user);
      admin.disconnect();
    }
  });

  it("drivers on Redis continue while the password of their user is replaced: a second one is added, and then the first one removed", async () => {
    const [, rules = ""] = /^ACL SETUSER nebula on >PASSWORD (.+)$/m.exec(readFileSync("docs/redis.md", "utf8")) ?? [];
    const user = `nebula-${randomBytes(4).toString("hex")}`;
    const withPassword = (password: string) => url.replace("redis://", `redis://${user}:${password}@`);
    const admin = new Redis(url);
    try {
      await admin.call("ACL", "SETUSER", user, "on", ">first", ...rules.split(" "));
      await using before = await startProcesses(withPassword("first"));
      await admin.call("ACL", "SETUSER", user, ">second");
      await using after = await startProcesses(withPassword("second"));
      const events: FeedEvent[] = [];
      after.gateway.changeFeed.subscribe((event) => events.push(event));
      await admin.call("ACL", "SETUSER", user, "<first");
      before.manager.changeFeed.publish({ kind: "access", subject: "user/alice" });
      await eventually(() => assert.deepEqual(events, [{ kind: "access", subject: "user/alice" }]));
      await assert.rejects(startProcesses(withPassword("first")), /Redis refuses the login/);
    } finally {
      await admin.call("ACL", "DELUSER", user);
      admin.disconnect();
    }
  });

  it("drivers on Redis refuse an invalid URL with an example, and a login that the server refuses", async () => {
    const failed = (message: RegExp) => (error: unknown) => isNebulaError(error) && message.test(error.message) && !error.message.includes("hunter2");
    await assert.rejects(startProcesses("redis://host:port"), failed(/^invalid NEBULA_REDIS: .*use redis:\/\//));
    await assert.rejects(
      startProcesses(url.replace("redis://", "redis://nobody:hunter2@")),
      failed(/NEBULA_REDIS: Redis refuses the login of user "nobody"/),
    );
  });
});
