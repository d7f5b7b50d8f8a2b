import assert from "node:assert/strict";
import { status } from "@grpc/grpc-js";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { ConnectedWorker, FAST, LogLines, reportOf } from "../testing/connected-worker.ts";
import { HttpProxy } from "../testing/http-proxy.ts";
import { TestShard, TestWire } from "../testing/watch-test-shard.ts";

const SILENCE_MS = 120_000;
const DAY_MS = 24 * 3_600_000;

describe("the connection of a worker behind a proxy", function () {
  this.timeout(20_000);
  const { signal } = new AbortController();

  /** A shard behind a proxy, and the lines of a worker whose clock stands still. */
  async function behindProxy(stack: AsyncDisposableStack) {
    const shard = stack.use(await TestShard.open());
    const proxy = stack.use(await HttpProxy.open());
    proxy.passTo(shard.address);
    shard.map = [proxy.address];
    shard.onWatch = (watch) => watch.config(1n, "a");
    const clock = new ManualClock();
    const lines = new LogLines();
    const start = () => stack.use(new ConnectedWorker(proxy.address, { clock, log: lines.log }));
    return { shard, proxy, clock, lines, start };
  }

  /** Waits until the proxy holds this many watches of WatchAndReport back, and lets the time pass for which they may be silent. */
  async function letBeSilent(proxy: HttpProxy, clock: ManualClock, held: number): Promise<void> {
    await eventually(() => proxy.count("WatchAndReport") === held);
    await clock.advance(SILENCE_MS);
  }

  /** Cuts the connection, and waits until the worker has another one, on which it is served. */
  async function assertComesBack(worker: ConnectedWorker, proxy: HttpProxy, clock: ManualClock): Promise<void> {
    const from = worker.events.length;
    proxy.cut();
    await worker.next("disconnected", from);
    await clock.advance(FAST.backoffCapMs);
    await worker.next("connected", from);
  }

  it("a worker whose WatchAndReport is held back opens WatchConfig after 120 s, reports by calls, and names the remedy in one warning", async () => {
    await using stack = new AsyncDisposableStack();
    const { shard, proxy, clock, lines, start } = await behindProxy(stack);
    const worker = start();
    await eventually(() => proxy.count("WatchAndReport") === 1);
    await clock.advance(SILENCE_MS - 1);
    assert.deepEqual([proxy.count("WatchConfig"), shard.watches.length], [0, 0]);
    await clock.advance(1);
    assert.equal((await worker.next("config")).etag, "a");
    await worker.watch.submit(reportOf(1n), signal);
    assert.deepEqual([shard.reports.length, shard.reportCalls, shard.mapRequests], [1, 1, 1]);
    assert.deepEqual(
      worker.events.map(({ kind }) => kind),
      ["connected", "config"],
    );
    const [warning = "", ...more] = lines.above("info");
    assert.match(warning, /a proxy on the way may hold back .* requests that stream; let it forward the port of the manager as TCP \(layer 4\)/);
    assert.deepEqual(more, []);
  });

  it("a worker whose WatchAndReport was held back opens WatchConfig at once for a day, and then asks for WatchAndReport again", async () => {
    await using stack = new AsyncDisposableStack();
    const { proxy, clock, lines, start } = await behindProxy(stack);
    const worker = start();
    await letBeSilent(proxy, clock, 1);
    await worker.next("connected");
    await assertComesBack(worker, proxy, clock);
    await clock.advance(DAY_MS - SILENCE_MS);
    await assertComesBack(worker, proxy, clock);
    assert.deepEqual([proxy.count("WatchAndReport"), proxy.count("WatchConfig")], [1, 3]);
    assert.equal(lines.above("info").filter((line) => /proxy/.test(line)).length, 1);

    await clock.advance(SILENCE_MS);
    const from = worker.events.length;
    proxy.cut();
    await worker.next("disconnected", from);
    await clock.advance(FAST.backoffCapMs);
    await letBeSilent(proxy, clock, 2);
    await worker.next("connected", from);
  });

  it("a worker that is redirected by WatchConfig, as WatchAndReport is held back, opens WatchConfig there at once afterwards", async () => {
    await using stack = new AsyncDisposableStack();
    const { shard, proxy, clock, start } = await behindProxy(stack);
    const owner = stack.use(await TestShard.open());
    owner.onWatch = (watch) => watch.config(2n, "b");
    shard.onWatch = (watch) => watch.redirect(owner.address);
    const worker = start();
    await letBeSilent(proxy, clock, 1);
    assert.equal((await worker.next("connected")).address, owner.address);
    owner.last.end();
    await worker.next("disconnected");
    await clock.advance(FAST.backoffCapMs);
    await eventually(() => owner.watches.length === 2);
    assert.deepEqual([proxy.count("WatchAndReport"), proxy.count("WatchConfig")], [1, 2]);
  });

  it("a worker that gets no answer to WatchConfig either begins its next try with WatchAndReport", async () => {
    await using stack = new AsyncDisposableStack();
    const { shard, proxy, clock, start } = await behindProxy(stack);
    shard.onWatch = (watch) => watch.fail(status.UNAVAILABLE, "not now");
    const worker = start();
    await letBeSilent(proxy, clock, 1);
    await worker.next("disconnected");
    await clock.advance(FAST.backoffCapMs);
    await eventually(() => proxy.count("WatchAndReport") === 2);
    assert.equal(proxy.count("WatchConfig"), 1);
  });

  for (const refusal of [400, 411, 501]) {
    it(`a worker whose WatchAndReport is answered by HTTP ${refusal} opens WatchConfig at once, and asks for WatchAndReport on the next connection`, async () => {
      await using stack = new AsyncDisposableStack();
      const { shard, proxy, clock, lines, start } = await behindProxy(stack);
      proxy.refusal = refusal;
      const worker = start();
      await worker.next("config");
      await worker.watch.submit(reportOf(1n), signal);
      assert.deepEqual([shard.reports.length, shard.reportCalls, shard.mapRequests], [1, 1, 1]);
      await assertComesBack(worker, proxy, clock);
      assert.deepEqual([proxy.count("WatchAndReport"), proxy.count("WatchConfig")], [2, 2]);
      assert.equal(lines.above("info").filter((line) => /proxy/.test(line)).length, 1);
    });
  }

  for (const code of [status.UNAVAILABLE, status.RESOURCE_EXHAUSTED, status.UNAUTHENTICATED] as const) {
    it(`a worker whose WatchAndReport is answered by ${status[code]} repeats it, and does not open WatchConfig`, async () => {
      await using shard = await TestShard.open();
      shard.onWatch = (watch) => (shard.watches.length === 1 ? watch.fail(code, "not now") : watch.config(1n, "a"));
      await using worker = new ConnectedWorker(shard.address);
      await worker.next("config");
      assert.deepEqual(
        shard.watches.map(({ unanswered }) => unanswered !== undefined),
        [true, true],
      );
    });
  }

  it("a worker whose connection is lost before its watch is served comes back with WatchAndReport, and logs nothing about proxies", async () => {
    await using shard = await TestShard.open();
    await using wire = await TestWire.open(shard.address);
    shard.map = [wire.address];
    shard.onWatch = (watch) => (shard.watches.length === 1 ? wire.cut() : watch.config(1n, "a"));
    const lines = new LogLines();
    await using worker = new ConnectedWorker(wire.address, { log: lines.log });
    await worker.next("config");
    assert.deepEqual(
      shard.watches.map(({ unanswered }) => unanswered !== undefined),
      [true, true],
    );
    assert.deepEqual(lines.above("info"), ["no connection to a manager"]);
  });

  it("a worker whose manager has the watch waits for the config, for as long as that takes", async () => {
    await using shard = await TestShard.open();
    shard.onWatch = (watch) => watch.begin();
    const clock = new ManualClock();
    await using worker = new ConnectedWorker(shard.address, { clock });
    await eventually(() => shard.watches.length === 1 && clock.sleeping === 0);
    await clock.advance(DAY_MS);
    shard.last.config(1n, "a");
    await worker.next("config");
    assert.deepEqual([shard.watches.length, shard.last.unanswered], [1, []]);
  });
});
