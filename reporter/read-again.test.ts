import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { Registry } from "prom-client";
import type { BusMessage } from "../common/bus/report-bus.ts";
import { ManualClock } from "../common/clock/manual-clock.ts";
import { silentLog } from "../common/log/log.ts";
import type { ReportClient } from "../common/storage/cassandra/reports/report-rows.ts";
import { createCassandraReportStore } from "../common/storage/cassandra/reports/report-store.ts";
import { receivedMs } from "../common/storage/report-id.ts";
import type { ReportStore } from "../common/storage/report-store.ts";
import { openSqliteReportStore } from "../common/storage/sqlite/reports/report-store.ts";
import { readAll } from "../common/testing/read-all.ts";
import { encodedReport, SAMPLE_TIME_MS, sampleReport } from "../common/testing/sample-report.ts";
import { requireServer } from "../common/testing/servers.ts";
import { createTestKeyspace, type TestKeyspace } from "../common/testing/test-keyspace.ts";
import { type Report, ReportSchema } from "../gen/nebula/v1/report_pb.ts";
import { createIngest } from "./ingest.ts";
import { createReporterMetrics } from "./metrics.ts";
import { logOf, type Sent, sentByDevice } from "./testing/report-log.ts";

// Readers of one log, as reporters are: killed between any two statements, paused there while another reporter reads on, with offsets that fall back.

const REPORT_TTL_MS = 26 * 3_600_000;
const clock = new ManualClock(SAMPLE_TIME_MS + 60_000);
const never = new AbortController().signal;

/** One read from the committed offset on, by one of the reporters, and how far it came. Statements are counted from 1, the commit being the last. */
type Read = Readonly<{
  size: number;
  /** Where it begins: offsets may have been set back to the beginning. */
  from: "committed" | "beginning";
  ends:
    | { kind: "committed" }
    /** The process is killed before a statement. */
    | { kind: "killed"; before: number }
    /** The process pauses before a statement until other reads are over; then it goes on, and commits: it does not know that its partition is lost. */
    | { kind: "paused"; before: number; reads: number };
}>;

const anyRead = (statements: number): fc.Arbitrary<Read> =>
  fc.record({
    size: fc.integer({ min: 1, max: 15 }),
    from: fc.constantFrom("committed", "committed", "beginning"),
    ends: fc.oneof(
      fc.constant({ kind: "committed" as const }),
      fc.record({ kind: fc.constant("killed" as const), before: fc.integer({ min: 1, max: statements }) }),
      fc.record({ kind: fc.constant("paused" as const), before: fc.integer({ min: 1, max: statements }), reads: fc.integer({ min: 1, max: 3 }) }),
    ),
  });

type ReporterStore = Pick<ReportStore, "statuses" | "save">;

/** Two reporters' way to one store. */
type World = Readonly<{
  store: ReportStore;
  /** A reporter's store, which calls `next` before each statement that it sends. */
  reporter: (next: () => Promise<void>) => ReporterStore;
}>;

function message(report: Report): BusMessage {
  const value = encodedReport(report);
  return { key: report.deviceId, value, timestampMs: receivedMs(report.receivedAt) };
}

function ingestInto(store: ReporterStore) {
  return createIngest({
    store,
    accessStore: { deviceToken: async () => undefined },
    bus: { publishDead: async () => assert.fail("a record was put aside") },
    feed: { publish: () => {} },
    limits: { duplicateMemoryMs: REPORT_TTL_MS },
    reportTtlMs: REPORT_TTL_MS,
    clock,
    log: silentLog,
    metrics: createReporterMetrics(new Registry(), clock),
    misses: () => {},
  });
}

/** Reads the log to its end in these reads; answers how many were killed and paused. */
async function readLog({ reporter }: World, log: readonly Report[], reads: readonly Read[]): Promise<{ killed: number; paused: number }> {
  let committed = 0;
  const done = { killed: 0, paused: 0 };
  const pausedReads: { left: number; resume: () => void; over: Promise<void> }[] = [];

  async function read({ size, from, ends }: Read): Promise<void> {
    const start = from === "beginning" ? 0 : committed;
    const batch = log.slice(start, start + size).map(message);
    const reached = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    let statement = 0;
    const next = async () => {
      if (ends.kind === "committed" || ++statement !== ends.before) return;
      done[ends.kind]++;
      if (ends.kind === "killed") throw new Error("killed");
      reached.resolve();
      await release.promise;
    };
    const over = ingestInto(reporter(next))(batch, never)
      .then(next)
      .then(
        () => {
          committed = start + batch.length; // also where another reporter has committed more
        },
        (error: unknown) => assert.match(String(error), /killed/),
      );
    await Promise.race([reached.promise, over]);
    if (ends.kind === "paused" && statement >= ends.before) pausedReads.push({ left: ends.reads + 1, resume: release.resolve, over });
    for (const paused of pausedReads.filter((each) => --each.left === 0)) {
      paused.resume();
      await paused.over;
    }
  }

  for (const each of reads) await read(each);
  while (committed < log.length) await read({ size: log.length, from: "committed", ends: { kind: "committed" } });
  for (const paused of pausedReads) {
    paused.resume(); // the writes of a reporter that slept through it all
    await paused.over;
  }
  return done;
}

function label({ boot, seq }: Report): string {
  return `${boot} ${seq}`;
}

async function check({ store }: World, sent: readonly (readonly Sent[])[]): Promise<void> {
  for (const ofDevice of sent) {
    const reports = ofDevice.map((entry) => entry.report);
    const { deviceId, deviceGroup, boot, seq, receivedAt } =
      reports.findLast((report) => report.boot === "second") ?? assert.fail("every device starts twice");
    const row = (await store.statuses([deviceId])).get(deviceId) ?? assert.fail("the row is missing");
    const newest = row.device.report ?? assert.fail("the row has no report");
    assert.equal(label(newest), label(sampleReport({ boot, seq })));
    assert.deepEqual(newest.receivedAt, receivedAt, "the repeat, not the report, became the status");
    assert.equal(row.device.duplicateId, false);
    const history = (await readAll((page) => store.listReports({ deviceId }, page), 100)).flatMap(({ report }) => report ?? []);
    assert.deepEqual(history.map(label).sort(), reports.map(label).sort());
    if (row.historyBytes !== undefined) {
      const bytes = history.reduce((sum, report) => sum + toBinary(ReportSchema, report).length, 0);
      assert.equal(
        [...row.historyBytes.values()].reduce((sum, each) => sum + each, 0),
        bytes,
      );
    }
    const groups = [...new Set(reports.map((report) => report.deviceGroup))];
    const listed = await Promise.all(groups.map((group) => readAll((page) => store.listDevices({ deviceGroup: group }, page), 100)));
    const places = listed.flat().filter((device) => device.deviceId === deviceId);
    assert.deepEqual(
      places.map((device) => device.deviceGroup),
      [deviceGroup],
    );
    const inLists = await Promise.all(groups.map((group) => readAll((page) => store.listReports({ deviceGroup: group, ...WINDOW }, page), 100)));
    assert.deepEqual(inLists.flat().filter(({ report }) => report?.deviceId === deviceId).length, reports.length);
  }
}

/** All that the tests send is received in it: a list looks at one hour. */
const WINDOW = { receivedFromMs: SAMPLE_TIME_MS, receivedUntilMs: SAMPLE_TIME_MS + 3_600_000 };

/** The same reports under names that no other run uses. */
function renamed(sent: readonly (readonly Sent[])[]): Sent[][] {
  const suffix = randomUUID().slice(0, 8);
  return sent.map((ofDevice) =>
    ofDevice.map(({ report, repeats }) => ({
      repeats,
      report: sampleReport({ ...report, deviceId: `${report.deviceId}-${suffix}`, deviceGroup: `${report.deviceGroup}-${suffix}` }),
    })),
  );
}

async function holds(open: () => Promise<World>, statements: number, runs: number): Promise<void> {
  const devices = fc.tuple(sentByDevice("device-1"), sentByDevice("device-2"), sentByDevice("device-3"));
  const happened = { killed: 0, paused: 0 };
  await fc.assert(
    fc.asyncProperty(devices, fc.array(anyRead(statements), { maxLength: 12 }), async (given, reads) => {
      const world = await open();
      const sent = renamed(given);
      const { killed, paused } = await readLog(world, logOf(sent), reads);
      happened.killed += killed;
      happened.paused += paused;
      await check(world, sent);
    }),
    { numRuns: runs },
  );
  // fewer than expected of random reads, and enough to have tried both
  assert.ok(happened.killed >= runs / 10 && happened.paused >= runs / 10, JSON.stringify(happened));
}

describe("reporters of one log that are killed or paused anywhere, beside each other, with offsets that fall back", () => {
  it("reporters that are killed or paused leave each report in the history once, and the newest as the status, on sqlite:", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const reporter = (next: () => Promise<void>): ReporterStore => ({
      statuses: store.statuses,
      async save(changes, signal) {
        await next();
        return store.save(changes, signal);
      },
    });
    await holds(async () => ({ store, reporter }), 3, 100);
  });

  describe("on Cassandra", () => {
    let keyspace: TestKeyspace | undefined;
    before(async function () {
      keyspace = await createTestKeyspace(await requireServer(this, "cassandra"));
    });
    after(async () => {
      await keyspace?.[Symbol.asyncDispose]();
    });

    it("reporters that are killed or paused leave each report in the history once, and the newest as the status, on cassandra:", async function () {
      this.timeout(60_000);
      const client = keyspace?.client ?? assert.fail("there is no keyspace");
      const options = { reportTtlMs: REPORT_TTL_MS, clock };
      const reporter = (next: () => Promise<void>): ReporterStore => {
        const execute: ReportClient["execute"] = async (query, of) => {
          if (of.kind === "write") await next();
          return client.execute(query, of);
        };
        const executeMany: ReportClient["executeMany"] = async (cql, values, of) => {
          const answers = [];
          for (const params of values) answers.push((await execute({ cql, params }, of)).rows);
          return answers;
        };
        return createCassandraReportStore({ ...options, client: { execute, executeMany } });
      };
      await holds(async () => ({ store: createCassandraReportStore({ ...options, client }), reporter }), 40, 20);
    });
  });
});
