import assert from "node:assert/strict";
import { status } from "@grpc/grpc-js";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { throughout } from "../../common/testing/throughout.ts";
import { ConnectedWorker, FAST, reportOf, watchOf } from "../testing/connected-worker.ts";
import { TestShard, type TestShardOptions, TestWire } from "../testing/watch-test-shard.ts";

/** An address at which nobody listens. */
async function deadAddress(): Promise<string> {
  const shard = await TestShard.open();
  await shard[Symbol.asyncDispose]();
  return shard.address;
}

/** Defines the tests of a connection, which hold for servers of either kind. */
function describeConnection(to: string, server: Pick<TestShardOptions, "earlier">): void {
  describe(`the connection of a worker to ${to}`, function () {
    this.timeout(20_000);
    const openShard = (options: TestShardOptions = {}) => TestShard.open({ ...server, ...options });

    it("the connection asks for the shard map, dials its first, names the device, and delivers the config", async () => {
      await using shard = await openShard();
      shard.onWatch = (watch) => watch.config(7n, "etag7");
      await using worker = new ConnectedWorker(shard.address);
      const { config, etag } = await worker.next("config");
      assert.equal(etag, "etag7");
      assert.equal(config.groupRevision, 7n);
      assert.deepEqual(
        worker.events.map(({ kind }) => kind),
        ["connected", "config"],
      );
      const { request, authorization } = shard.last;
      const { deviceGroup, deviceId, boot, keepaliveMs, serveHere } = request;
      assert.deepEqual(
        { deviceGroup, deviceId, boot, keepaliveMs, serveHere, authorization },
        {
          deviceGroup: "shop",
          deviceId: "device-7",
          boot: "boot1",
          keepaliveMs: 60_000,
          serveHere: false,
          authorization: "Bearer secret",
        },
      );
    });

    it("the connection delivers every change, and reports a group that does not exist", async () => {
      await using shard = await openShard();
      shard.onWatch = (watch) => watch.config(1n, "a");
      await using worker = new ConnectedWorker(shard.address);
      await worker.next("config");
      shard.last.config(2n, "b");
      await eventually(() => worker.events.some((event) => event.kind === "config" && event.etag === "b"));
      shard.last.send({ case: "noSuchGroup", value: {} });
      await worker.next("no_such_group");
      assert.equal(shard.watches.length, 1, "the watch stays open");
    });

    it("the connection comes back with the etag that it holds, and reports that nothing changed", async () => {
      await using shard = await openShard();
      await using wire = await TestWire.open(shard.address);
      shard.map = [wire.address];
      shard.onWatch = (watch) => (watch.request.etag === "a" ? watch.send({ case: "unchanged", value: {} }) : watch.config(1n, "a"));
      await using worker = new ConnectedWorker(shard.address);
      await worker.next("config");
      worker.etag = "a";
      wire.cut();
      const lost = await worker.next("disconnected");
      assert.equal(lost.refused, undefined);
      assert.ok(lost.reason.includes(wire.address));
      await worker.next("unchanged");
      assert.deepEqual(
        worker.events.map(({ kind }) => kind),
        ["connected", "config", "disconnected", "connected", "unchanged"],
      );
    });

    it("the connection follows a redirect", async () => {
      await using owner = await openShard();
      await using other = await openShard();
      owner.onWatch = (watch) => watch.config(1n, "a");
      other.onWatch = (watch) => watch.redirect(owner.address);
      await using worker = new ConnectedWorker(other.address);
      assert.equal((await worker.next("connected")).address, owner.address);
      assert.equal(owner.last.request.serveHere, false);
      assert.deepEqual(
        worker.events.filter(({ kind }) => kind === "disconnected"),
        [],
      );
    });

    it("the connection is served by the current shard after two redirects in a row", async () => {
      await using first = await openShard();
      await using second = await openShard();
      first.onWatch = (watch) => watch.redirect(second.address);
      second.onWatch = (watch) => (watch.request.serveHere ? watch.config(1n, "a") : watch.redirect(first.address));
      await using worker = new ConnectedWorker(first.address);
      assert.equal((await worker.next("connected")).address, second.address);
      assert.deepEqual([first.watches.length, second.watches.length], [1, 2]);
    });

    it("the connection is served by the shard that redirected when the target cannot be reached", async () => {
      await using shard = await openShard();
      const dead = await deadAddress();
      shard.onWatch = (watch) => (watch.request.serveHere ? watch.config(1n, "a") : watch.redirect(dead));
      await using worker = new ConnectedWorker(shard.address);
      assert.equal((await worker.next("connected")).address, shard.address);
    });

    it("the connection is served by the next of the map when the first cannot be reached", async () => {
      await using shard = await openShard();
      const dead = await deadAddress();
      await using gateway = await openShard();
      gateway.map = [dead, shard.address];
      shard.onWatch = (watch) => (watch.request.serveHere ? watch.config(1n, "a") : watch.redirect(dead));
      await using worker = new ConnectedWorker(gateway.address);
      assert.equal((await worker.next("connected")).address, shard.address);
      assert.equal(gateway.watches.length, 0);
    });

    it("the connection falls back to the configured manager when the advertised name does not resolve here", async () => {
      await using shard = await openShard();
      shard.map = ["no-such-host.invalid:50051"];
      shard.onWatch = (watch) => watch.config(1n, "a");
      await using worker = new ConnectedWorker(shard.address);
      assert.equal((await worker.next("connected")).address, shard.address);
    });

    it("the connection asks for the map again when a shard hands the watch over, after the time that the shard named", async () => {
      await using old = await openShard();
      await using successor = await openShard();
      old.onWatch = (watch) => watch.config(1n, "a");
      successor.onWatch = (watch) => watch.config(2n, "b");
      await using worker = new ConnectedWorker(old.address);
      await worker.next("config");
      old.map = [successor.address, old.address];
      const told = performance.now();
      old.last.redirect("", 300);
      await eventually(() => worker.events.some((event) => event.kind === "config" && event.etag === "b"));
      assert.ok(performance.now() - told >= 150, "it came back at once");
      assert.equal(old.mapRequests, 2);
      assert.equal(old.watches.length, 1);
    });

    it("the connection notices a link that is dead without a word, and comes back over one that is not", async () => {
      await using shard = await openShard();
      await using wire = await TestWire.open(shard.address);
      shard.map = [wire.address];
      shard.onWatch = (watch) => watch.config(1n, "a");
      await using worker = new ConnectedWorker(shard.address, { keepaliveMs: 200 });
      await worker.next("config");
      wire.die();
      await worker.next("disconnected");
      wire.revive();
      await eventually(() => worker.events.filter(({ kind }) => kind === "connected").length >= 2);
    });

    it("the connection keeps pinging a healthy link", async () => {
      await using shard = await openShard();
      shard.onWatch = (watch) => watch.config(1n, "a");
      await using worker = new ConnectedWorker(shard.address, { keepaliveMs: 50 });
      await worker.next("config");
      const end = performance.now() + 600;
      await eventually(() => performance.now() > end);
      assert.deepEqual([shard.watches.length, worker.events.length], [1, 2]);
    });

    it("the connection retries while no manager is reachable, and finds the manager when it comes", async () => {
      const address = await deadAddress();
      await using worker = new ConnectedWorker(address);
      const lost = await worker.next("disconnected");
      assert.equal(lost.refused, undefined);
      assert.match(lost.reason, /ECONNREFUSED/);
      await using shard = await openShard({ address });
      shard.onWatch = (watch) => watch.config(1n, "a");
      await worker.next("config");
    });

    it("the connection reports a refused login clearly, and retries slowly", async () => {
      await using shard = await openShard();
      shard.onWatch = (watch) => watch.fail(status.UNAUTHENTICATED, "no such token");
      await using worker = new ConnectedWorker(shard.address, { timing: { ...FAST, refusedMs: 60_000 } });
      const lost = await worker.next("disconnected");
      assert.equal(lost.refused, "unauthenticated");
      assert.ok(lost.reason.includes("no such token") && lost.retryInMs >= 30_000);
      assert.ok(!JSON.stringify(worker.events).includes("secret"));
    });

    it("the connection waits until there is a login, reports a refusal, and retries at once with another login", async () => {
      await using shard = await openShard();
      shard.onWatch = (watch) => (watch.authorization === "Bearer new" ? watch.config(1n, "e1") : watch.fail(status.UNAUTHENTICATED, "revoked"));
      const login = Promise.withResolvers<void>();
      const refused: (string | undefined)[] = [];
      let authorization = "Bearer old";
      await using worker = new ConnectedWorker(shard.address, {
        timing: { ...FAST, refusedMs: 60_000 },
        authorization: () => authorization,
        loginReady: () => login.promise,
        loginRefused: (header) => refused.push(header) === 0,
      });
      await throughout(200, () => assert.equal(shard.mapRequests, 0));
      login.resolve();
      await worker.next("disconnected");
      assert.deepEqual(refused, ["Bearer old"]);
      authorization = "Bearer new";
      worker.watch.loginChanged();
      await worker.next("config");
      assert.deepEqual(refused, ["Bearer old"]);
    });

    it("the connection keeps one config for a reader that is busy, the newest", async () => {
      await using shard = await openShard();
      shard.onWatch = (watch) => {
        for (let n = 1n; n <= 200n && shard.watches.length === 1; n++) watch.config(n, String(n));
      };
      const done = new AbortController();
      const watch = watchOf(shard.address, { signal: done.signal });
      await eventually(() => shard.watches.length === 1);
      shard.last.end();
      await eventually(() => shard.watches.length === 2); // all of the first has arrived
      done.abort();
      const events = await Array.fromAsync(watch);
      assert.deepEqual(
        events.map((event) => (event.kind === "config" ? event.etag : event.kind)),
        ["200", "disconnected"],
      );
    });

    it("the connection sends reports on the connection that it has, and only there", async () => {
      await using shard = await openShard();
      await using worker = new ConnectedWorker(shard.address);
      const { signal } = new AbortController();
      await eventually(() => shard.watches.length === 1);
      await assert.rejects(worker.watch.submit(reportOf(1n), signal), (error) => isNebulaError(error, "unavailable"));
      shard.last.config(1n, "a");
      await worker.next("connected");
      await worker.watch.submit(reportOf(1n), signal);
      assert.deepEqual(
        shard.reports.map(({ deviceId, seq }) => ({ deviceId, seq })),
        [{ deviceId: "device-7", seq: 1n }],
      );
      assert.equal(shard.reportCalls, server.earlier === undefined ? 0 : 1);
      await assert.rejects(worker.watch.submit(reportOf(2n), AbortSignal.abort()), (error) => isNebulaError(error, "cancelled"));
      assert.deepEqual([shard.reports.length, shard.watches.length], [1, 1]);
    });

    it("the connection rejects a report that is refused with the server's code and words, and its waiting time where it has one", async () => {
      await using shard = await openShard();
      shard.onWatch = (watch) => watch.config(1n, "a");
      await using worker = new ConnectedWorker(shard.address);
      await worker.next("connected");
      shard.refuseReports = true;
      const { signal } = new AbortController();
      for (const [code, kind, retryAfterMs] of [
        [status.UNAVAILABLE, "unavailable", undefined],
        [status.RESOURCE_EXHAUSTED, "resource_exhausted", 1234],
        [status.ABORTED, "conflict", undefined],
      ] as const) {
        shard.refusal = { code, message: `refused as ${kind}`, retryAfterMs: retryAfterMs ?? 0 };
        const refused = { kind, message: `refused as ${kind}`, retryAfterMs, violations: [] };
        await assert.rejects(worker.watch.submit(reportOf(1n), signal), refused);
      }
      shard.refuseReports = false;
      await worker.watch.submit(reportOf(2n), signal);
      assert.deepEqual([shard.reports.length, shard.watches.length], [1, 1]);
    });

    it("the connection is given up, and made again, where a report has no answer within its limit", async () => {
      await using shard = await openShard();
      shard.onWatch = (watch) => watch.config(1n, "a");
      await using worker = new ConnectedWorker(shard.address, { submitLimitMs: 200 });
      await worker.next("connected");
      shard.ignoreReports = true;
      const { signal } = new AbortController();
      await assert.rejects(worker.watch.submit(reportOf(1n), signal), (error) => isNebulaError(error, "deadline_exceeded"));
      const lost = await worker.next("disconnected");
      assert.match(lost.reason, /a report had no answer within 200 ms/);
      await eventually(() => shard.watches.length === 2 && shard.watches[0]?.ended === true);
      shard.ignoreReports = false;
      await worker.next("connected", worker.events.indexOf(lost));
      await worker.watch.submit(reportOf(1n), signal);
      assert.equal(shard.reports.length, 1);
    });

    it("the connection ends with its signal, in any state", async () => {
      await using shard = await openShard();
      await using connecting = new ConnectedWorker(await deadAddress());
      await using waiting = new ConnectedWorker(shard.address);
      await eventually(() => shard.watches.length === 1);
      await waiting[Symbol.asyncDispose]();
      await connecting[Symbol.asyncDispose]();
      await eventually(() => shard.last.ended);
    });
  });
}

describeConnection("a server that takes reports on the stream of a watch", {});
describeConnection("a server of an earlier release", { earlier: "has no such method" });
