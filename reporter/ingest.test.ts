import { strict as assert } from "node:assert";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { Registry } from "prom-client";
import type { BusMessage } from "../common/bus/report-bus.ts";
import { ManualClock } from "../common/clock/manual-clock.ts";
import { NebulaError } from "../common/errors/nebula-error.ts";
import type { FeedEvent } from "../common/feed/change-feed.ts";
import { silentLog } from "../common/log/log.ts";
import type { ReportStore } from "../common/storage/report-store.ts";
import { openSqliteReportStore } from "../common/storage/sqlite/report-store.ts";
import { SAMPLE_TIME_MS, sampleReport } from "../common/testing/sample-report.ts";
import { DeviceSchema } from "../gen/nebula/v1/device_pb.ts";
import { BusRecordSchema, type Report, TargetState } from "../gen/nebula/v1/report_pb.ts";
import { createIngest } from "./ingest.ts";
import { createReporterMetrics } from "./metrics.ts";
import { encodedOriginalReport, SECRET_IN_SAMPLE } from "./testing/original-report.ts";

const never = new AbortController().signal;

function message(report: Report): BusMessage {
  const value = toBinary(BusRecordSchema, create(BusRecordSchema, { record: { case: "report", value: report } }));
  return { key: report.deviceId, value, timestampMs: SAMPLE_TIME_MS };
}

/** @param tokens the group of each device that has a token of its own */
function start(store: Pick<ReportStore, "statuses" | "save">, tokens: Readonly<Record<string, string>> = {}) {
  const dead: { record: BusMessage; reason: string }[] = [];
  const events: FeedEvent[] = [];
  const registry = new Registry();
  const ingest = createIngest({
    store,
    accessStore: {
      async deviceToken(deviceId) {
        const deviceGroup = tokens[deviceId];
        const rest = { tokenHash: "", nextHash: "", enrolmentId: "", enrolledAt: 0, rotatedAt: 0 };
        return deviceGroup === undefined ? undefined : { deviceId, deviceGroup, ...rest };
      },
    },
    bus: { publishDead: async (record, reason) => void dead.push({ record, reason }) },
    feed: { publish: async (event) => void events.push(event) },
    limits: { duplicateMemoryMs: 3_600_000 },
    clock: new ManualClock(),
    log: silentLog,
    metrics: createReporterMetrics(registry),
  });
  return { ingest: (batch: readonly BusMessage[]) => ingest(batch, never), dead, events, registry };
}

async function historyOf(store: ReportStore): Promise<Report[]> {
  const reports: Report[] = [];
  for (let after: string | undefined; ; ) {
    const { items, next } = await store.listReports({}, after === undefined ? { limit: 1000 } : { limit: 1000, after });
    reports.push(...items.flatMap((item) => item.report ?? []));
    if (next === undefined) return reports;
    after = next;
  }
}

function label({ boot, seq }: Report): string {
  return `${boot} ${seq}`;
}

describe("ingest", () => {
  it("stores a report as history and status, announces it, and then is done", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const { ingest, events, dead } = start(store);
    await ingest([message(sampleReport())]);
    assert.deepEqual((await historyOf(store)).map(label), ["boot-1 1"]);
    assert.equal((await store.getDevice("device-1"))?.report?.seq, 1n);
    const [event] = events;
    assert.ok(event?.kind === "status" && event.deviceGroup === "shops");
    assert.equal(fromBinary(DeviceSchema, event.payload).deviceId, "device-1");
    assert.deepEqual(dead, []);
  });

  it("announces each device once a batch, with its newest status, and none for repeats", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const { ingest, events } = start(store);
    const batch = [1n, 2n, 3n].map((seq) => message(sampleReport({ seq })));
    await ingest(batch);
    await ingest(batch);
    assert.deepEqual(
      events.map((event) => event.kind === "status" && fromBinary(DeviceSchema, event.payload).report?.seq),
      [3n],
    );
  });

  it("puts aside what can't be read, and takes the rest of the batch", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const { ingest, dead, registry } = start(store);
    const nonsense = { key: "device-2", value: Uint8Array.from([255, 255]), timestampMs: SAMPLE_TIME_MS };
    await ingest([nonsense, message(sampleReport())]);
    assert.deepEqual(
      dead.map((entry) => entry.record),
      [nonsense],
    );
    assert.equal((await historyOf(store)).length, 1);
    assert.match(await registry.metrics(), /nebula_reporter_unreadable_records_total 1\n/);
  });

  it("takes what workers of the original send: in the history as they sent it, newest status by the second at which it was made", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const { ingest, dead } = start(store);
    const made = (second: number, changes: object = {}): BusMessage => {
      const value = encodedOriginalReport({ report_creation_time: second, ...changes });
      return { key: "", value, timestampMs: SAMPLE_TIME_MS };
    };
    await ingest([made(2000, { updated: false }), made(1000), made(2000), message(sampleReport())]);
    await ingest([made(3000, { apps_containers: [] })]);
    const { items } = await store.listReports({ deviceId: "pos-0042" }, { limit: 10 });
    assert.deepEqual(
      items.map(({ originalJson, updated }) => [JSON.parse(originalJson).report_creation_time, updated]),
      [
        [2000, false],
        [3000, true],
      ],
    );
    assert.ok(items.every(({ originalJson }) => !originalJson.includes(SECRET_IN_SAMPLE)));
    const device = await store.getDevice("pos-0042");
    assert.deepEqual([device?.report?.seq, device?.report?.state, device?.duplicateId], [3000n, TargetState.FAILED, false]);
    assert.deepEqual(dead, []);
  });

  it("leaves out a record of the original's worker that would take a device out of the group of its token", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const { ingest, registry } = start(store, { "pos-0042": "bank", "pos-0043": "pos" });
    const made = (hostname: string, group: string): BusMessage => {
      const value = encodedOriginalReport({ hostname, device_group: group });
      return { key: "", value, timestampMs: SAMPLE_TIME_MS };
    };
    await ingest([made("pos-0042", "pos"), made("pos-0043", "pos"), made("pos-0044", "pos")]);
    await ingest([made("pos-0042", "pos")]);
    assert.deepEqual(
      (await store.listDevices({}, { limit: 10 })).items.map(({ deviceId }) => deviceId),
      ["pos-0043", "pos-0044"],
    );
    assert.equal((await historyOf(store)).length, 2);
    assert.match(await registry.metrics(), /nebula_reporter_reports_total\{outcome="foreign"\} 2\n/);
  });

  it("finds out itself whether a device has changed something where its worker says nothing of it", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const { ingest } = start(store);
    const made = (second: number, changes: object): BusMessage => {
      const value = encodedOriginalReport({ updated: undefined, report_creation_time: second, ...changes });
      return { key: "", value, timestampMs: SAMPLE_TIME_MS };
    };
    await ingest([made(1, {}), made(2, { cpu_usage: { cores: 4, used_percent: 99 } }), made(3, { apps_containers: [] })]);
    assert.deepEqual(
      (await store.listReports({}, { limit: 10 })).items.map(({ updated }) => updated),
      [true, false, true],
    );
  });

  it("says of each report of ours whether the device has changed something since the one before", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const { ingest } = start(store);
    const apps = (appliedRevision: bigint) => [{ name: "web", revision: 2n, appliedRevision }];
    await ingest([sampleReport({ seq: 1n, apps: apps(1n) }), sampleReport({ seq: 2n, apps: apps(1n) })].map(message));
    await ingest([message(sampleReport({ seq: 3n, apps: apps(2n) }))]);
    const { items } = await store.listReports({}, { limit: 10 });
    assert.deepEqual(
      items.map(({ updated }) => updated),
      [true, false, true],
    );
  });

  it("rejects when the store is away, and has announced nothing then", async () => {
    const away = () => Promise.reject(new NebulaError("unavailable", "away"));
    const { ingest, events, registry } = start({ statuses: async () => new Map(), save: away });
    await assert.rejects(ingest([message(sampleReport())]), /away/);
    assert.deepEqual(events, []);
    assert.match(await registry.metrics(), /nebula_reporter_batch_failures_total 1\n/);
  });

  it("counts what became of each report", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const { ingest, registry } = start(store);
    const of = (boot: string, seq: bigint) => message(sampleReport({ boot, seq }));
    await ingest([of("a", 1n), of("a", 1n), of("b", 1n), of("a", 2n)]);
    const text = await registry.metrics();
    assert.match(text, /nebula_reporter_reports_total\{outcome="newest"\} 2\n/);
    assert.match(text, /nebula_reporter_reports_total\{outcome="late"\} 1\n/);
    assert.match(text, /nebula_reporter_reports_total\{outcome="repeat"\} 1\n/);
  });
});

/** One report of a log: by which of two shards it was taken, and the places further on at which it stands again. */
type Sent = { report: Report; repeats: number[] };
/** One read of the log from the last commit on: how much, and how far the reporter came with it. */
type Read = { size: number; ends: "committed" | "before the save" | "between history and status" | "before the commit" };

/** Shard B's clock is 10 s ahead of shard A's. */
const SKEW_MS = 10_000;

/** Two starts of each worker: each sends its reports in order, one in flight; the last one of the first start may reach the log when the second has begun. */
const sentByDevice = (deviceId: string): fc.Arbitrary<Sent[]> =>
  fc
    .record({
      first: fc.integer({ min: 1, max: 6 }),
      second: fc.integer({ min: 1, max: 6 }),
      lastIsLate: fc.boolean(),
      choices: fc.infiniteStream(fc.record({ skewed: fc.boolean(), repeats: fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 2 }) })),
    })
    .map(({ first, second, lastIsLate, choices }) => {
      const [beginning, ...rest] = count("second", second);
      const before = count("first", first);
      const delayed = lastIsLate && first > 1 ? before.splice(-1) : [];
      return [...before, ...(beginning === undefined ? [] : [beginning]), ...delayed, ...rest].map(({ boot, seq }, index) => {
        const { skewed, repeats } = choices.next().value;
        return { report: sampleReport({ deviceId, boot, seq, receivedMs: SAMPLE_TIME_MS + index * 1000 + (skewed ? SKEW_MS : 0) }), repeats };
      });
    });

function count(boot: string, reports: number): { boot: string; seq: bigint }[] {
  return Array.from({ length: reports }, (_, index) => ({ boot, seq: BigInt(index + 1) }));
}

/** The log that those reports make. A repeat was submitted again, so another shard may have taken it, at another time; it never stands before the report itself. */
function logOf(devices: readonly Sent[][]): Report[] {
  const entries = devices.flatMap((sent) =>
    sent.flatMap(({ report, repeats }, index) => [
      { at: index, again: 0, report },
      ...repeats.map((later) => ({
        at: index + later + 0.5,
        again: 1,
        report: sampleReport({
          deviceId: report.deviceId,
          boot: report.boot,
          seq: report.seq,
          receivedMs: SAMPLE_TIME_MS + index * 1000 + (later % 2) * SKEW_MS + later * 700,
        }),
      })),
    ]),
  );
  return entries.toSorted((a, b) => a.at - b.at || a.again - b.again).map((entry) => entry.report);
}

const anyRead: fc.Arbitrary<Read> = fc.record({
  size: fc.integer({ min: 1, max: 15 }),
  ends: fc.constantFrom("committed", "before the save", "between history and status", "before the commit"),
});

/** Reads the log as a reporter does that fails, is stopped and started again: each read goes on from the last commit. */
async function readLog(store: ReportStore, log: readonly Report[], reads: readonly Read[]): Promise<void> {
  let committed = 0;
  for (const { size, ends } of [...reads, { size: log.length, ends: "committed" } as const]) {
    const fails = async () => {
      throw new Error(ends);
    };
    const save: ReportStore["save"] = async (batch) => {
      if (ends === "before the save") await fails();
      if (ends === "between history and status") await store.save({ reports: batch.reports, statuses: [] }).then(fails);
      return store.save(batch);
    };
    const { ingest } = start({ statuses: (ids) => store.statuses(ids), save });
    const batch = log.slice(committed, committed + size).map(message);
    const done = await ingest(batch).then(
      () => true,
      () => false,
    );
    if (done && ends === "committed") committed += batch.length;
  }
  assert.equal(committed >= log.length, true);
}

describe("reports of two boots, taken by two shards whose clocks are 10 s apart, repeated, in batches that are read again and split differently", () => {
  it("leave the right newest status, and each report in the history once", async () => {
    const devices = fc.tuple(sentByDevice("device-1"), sentByDevice("device-2"), sentByDevice("device-3"));
    await fc.assert(
      fc.asyncProperty(devices, fc.array(anyRead, { maxLength: 12 }), async (sent, reads) => {
        await using store = await openSqliteReportStore({ path: ":memory:" });
        await readLog(store, logOf(sent), reads);
        const history = await historyOf(store);
        for (const ofDevice of sent) {
          const reports = ofDevice.map((entry) => entry.report);
          const last = reports.findLast((report) => report.boot === "second") ?? assert.fail("every device starts twice");
          const device = await store.getDevice(last.deviceId);
          assert.equal(device?.report && label(device.report), label(last));
          assert.deepEqual(device?.report?.receivedAt, last.receivedAt, "the repeat, not the report, became the status");
          assert.deepEqual(
            history
              .filter((report) => report.deviceId === last.deviceId)
              .map(label)
              .sort(),
            reports.map(label).sort(),
          );
          assert.equal(device?.duplicateId, false);
        }
      }),
      { numRuns: 100 },
    );
  });
});
