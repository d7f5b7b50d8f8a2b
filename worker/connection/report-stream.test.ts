import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { ReportSchema } from "../../gen/nebula/v1/report_pb.ts";
import { ConnectedWorker, FAST, LogLines, reportOf } from "../testing/connected-worker.ts";
import { TestShard, TestWire } from "../testing/watch-test-shard.ts";
import type { WatchOptions } from "./watch.ts";

const BY_CALLS = "the manager takes reports by calls alone";

describe("reports on the stream of a watch", function () {
  this.timeout(20_000);
  const { signal } = new AbortController();

  /** A worker that a shard serves. */
  async function connected(shard: TestShard, options: Partial<WatchOptions> = {}): Promise<ConnectedWorker> {
    shard.onWatch = (watch) => watch.config(1n, "a");
    const worker = new ConnectedWorker(shard.address, options);
    await worker.next("connected");
    return worker;
  }

  /** A worker on the stream of whose watch a report has no answer. `signal`: of the report. */
  async function withOneUnanswered(shard: TestShard, signal: AbortSignal): Promise<{ worker: ConnectedWorker; submitted: Promise<void> }> {
    const worker = await connected(shard);
    shard.ignoreReports = true;
    const submitted = worker.watch.submit(reportOf(1n), signal);
    submitted.catch(() => {});
    await eventually(() => shard.last.unanswered?.length === 1);
    return { worker, submitted };
  }

  for (const earlier of ["has no such method", "refuses"] as const) {
    it(`a server that ${earlier === "refuses" ? "refuses WatchAndReport" : "has no WatchAndReport"} gets a WatchConfig at once, and reports by calls`, async () => {
      await using shard = await TestShard.open({ earlier });
      const lines = new LogLines();
      const waits = { backoffBaseMs: 60_000, backoffCapMs: 60_000, refusedMs: 60_000, stableMs: 10_000 };
      await using worker = await connected(shard, { log: lines.log, timing: waits, random: () => 1 });
      await worker.watch.submit(reportOf(1n), signal);
      assert.deepEqual([shard.reports.length, shard.reportCalls, shard.watches.length, shard.mapRequests], [1, 1, 1, 1]);
      assert.deepEqual(
        worker.events.map(({ kind }) => kind),
        ["connected", "config"],
      );
      assert.equal(lines.count(BY_CALLS), 1);
      assert.deepEqual(lines.above("info"), []);
    });
  }

  it("a worker asks for WatchAndReport once on a connection, and again on the next one", async () => {
    await using first = await TestShard.open({ earlier: "has no such method" });
    await using second = await TestShard.open({ earlier: "has no such method" });
    await using wire = await TestWire.open(second.address);
    first.onWatch = (watch) => watch.redirect(wire.address);
    second.onWatch = (watch) => (watch.request.serveHere ? watch.config(1n, "a") : watch.redirect(first.address));
    const lines = new LogLines();
    await using worker = new ConnectedWorker(first.address, { log: lines.log });
    await worker.next("connected");
    assert.equal(second.watches.length, 2);
    assert.equal(lines.count(BY_CALLS), 2, "once at each of two servers, and not for the second watch on the same connection");
    second.onWatch = (watch) => watch.config(2n, "b");
    first.map = [wire.address];
    wire.cut();
    await eventually(() => second.watches.length === 3);
    assert.equal(lines.count(BY_CALLS), 3);
  });

  it("a worker that is connected again after an upgrade of its server reports on the stream", async () => {
    const earlier = await TestShard.open({ earlier: "has no such method" });
    await using worker = await connected(earlier);
    await worker.watch.submit(reportOf(1n), signal);
    assert.equal(earlier.reportCalls, 1);
    await earlier[Symbol.asyncDispose]();
    await worker.next("disconnected");
    await using upgraded = await TestShard.open({ address: earlier.address });
    upgraded.onWatch = (watch) => watch.config(1n, "a");
    await eventually(() => worker.events.filter(({ kind }) => kind === "connected").length === 2);
    await worker.watch.submit(reportOf(2n), signal);
    assert.deepEqual([upgraded.reports.length, upgraded.reportCalls], [1, 0]);
  });

  it("a worker that is refused WatchConfig too is refused", async () => {
    await using shard = await TestShard.open({ earlier: "has no such method" });
    shard.onWatch = (watch) => watch.fail(status.UNIMPLEMENTED, "no watches here");
    await using worker = new ConnectedWorker(shard.address, { timing: { ...FAST, refusedMs: 60_000 } });
    const lost = await worker.next("disconnected");
    assert.equal(lost.refused, "unimplemented");
    assert.match(lost.reason, /no watches here/);
    assert.equal(shard.watches.length, 1);
  });

  it("a watch that was served, and then ended as unimplemented, does not make its worker report by calls", async () => {
    await using shard = await TestShard.open();
    const lines = new LogLines();
    await using worker = await connected(shard, { log: lines.log, timing: { ...FAST, refusedMs: 60_000 } });
    shard.last.fail(status.UNIMPLEMENTED, "not any more");
    assert.equal((await worker.next("disconnected")).refused, "unimplemented");
    assert.deepEqual([shard.watches.length, lines.count(BY_CALLS)], [1, 0]);
  });

  it("a report that is answered by_call is sent by a call, on the same connection", async () => {
    await using shard = await TestShard.open();
    await using worker = await connected(shard);
    shard.byCall = true;
    await worker.watch.submit(reportOf(1n), signal);
    assert.deepEqual([shard.reports.length, shard.reportCalls, shard.watches.length], [1, 1, 1]);
    shard.byCall = false;
    await worker.watch.submit(reportOf(2n), signal);
    assert.deepEqual([shard.reports.length, shard.reportCalls, shard.watches.length], [2, 1, 1]);
  });

  it("a report of 64 KiB is sent on the stream, and one byte more by a call", async () => {
    await using shard = await TestShard.open();
    await using worker = await connected(shard);
    // Before the text come tag and length of the reports, of the report and of the text itself.
    const largest = 64 * 1024 - 3 * 4;
    for (const [length, calls] of [
      [largest, 0],
      [largest + 1, 1],
    ] as const) {
      await worker.watch.submit(create(ReportSchema, { deviceId: "d".repeat(length) }), signal);
      assert.deepEqual([shard.reports.at(-1)?.deviceId.length, shard.reportCalls], [length, calls]);
    }
  });

  it("the answer to a report that was aborted is not that of the next report", async () => {
    await using shard = await TestShard.open();
    const aborted = new AbortController();
    const { worker, submitted } = await withOneUnanswered(shard, aborted.signal);
    await using _ = worker;
    aborted.abort();
    await assert.rejects(submitted, (error) => isNebulaError(error, "cancelled"));
    const next = worker.watch.submit(reportOf(2n), signal);
    await eventually(() => shard.last.unanswered?.length === 2);
    shard.last.answerReports({ code: status.PERMISSION_DENIED, message: "the first one is refused" });
    shard.ignoreReports = false;
    shard.answerReports(shard.last);
    await next;
    assert.deepEqual([shard.reports.map(({ seq }) => seq), shard.reportCalls], [[2n], 0]);
  });

  it("reports of which eight have no answer are followed by calls", async () => {
    await using shard = await TestShard.open();
    await using worker = await connected(shard);
    shard.ignoreReports = true;
    const aborted = new AbortController();
    const submitted = Array.from({ length: 8 }, (_, n) => worker.watch.submit(reportOf(BigInt(n)), aborted.signal));
    const ends = Promise.allSettled(submitted);
    await eventually(() => shard.last.unanswered?.length === 8);
    aborted.abort();
    await ends;
    shard.ignoreReports = false;
    await worker.watch.submit(reportOf(9n), signal);
    assert.deepEqual([shard.reports.map(({ seq }) => seq), shard.reportCalls], [[9n], 1]);
  });

  for (const [name, end] of [
    ["the server ends the watch", (shard: TestShard) => shard.last.end()],
    ["the watch is redirected", (shard: TestShard) => shard.last.redirect("")],
    ["the connection is lost", (shard: TestShard) => shard[Symbol.asyncDispose]()],
  ] as const) {
    it(`a report that waits for its answer is rejected as unavailable, before its limit, when ${name}`, async () => {
      await using shard = await TestShard.open();
      const { worker, submitted } = await withOneUnanswered(shard, signal);
      await using _ = worker;
      await end(shard);
      await assert.rejects(submitted, (error) => isNebulaError(error, "unavailable") && /the watch ended/.test(error.message));
    });
  }

  it("a report is sent to the shard to which its watch was redirected, once that serves it", async () => {
    await using old = await TestShard.open();
    await using next = await TestShard.open();
    const { worker, submitted } = await withOneUnanswered(old, signal);
    await using _ = worker;
    old.last.redirect(next.address);
    await assert.rejects(submitted, (error) => isNebulaError(error, "unavailable"));
    await eventually(() => next.watches.length === 1);
    await assert.rejects(worker.watch.submit(reportOf(1n), signal), (error) => isNebulaError(error, "unavailable"));
    next.last.config(2n, "b");
    await eventually(() => worker.events.some((event) => event.kind === "connected" && event.address === next.address));
    await worker.watch.submit(reportOf(1n), signal);
    assert.deepEqual([old.reports.length, next.reports.map(({ seq }) => seq), next.reportCalls], [0, [1n], 0]);
  });
});
