import { strict as assert } from "node:assert";
import { Registry } from "prom-client";
import type { BusMessage, ReportBus } from "../common/bus/report-bus.ts";
import { ManualClock } from "../common/clock/manual-clock.ts";
import { NebulaError } from "../common/errors/nebula-error.ts";
import type { Announcement } from "../common/feed/change-feed.ts";
import { silentLog } from "../common/log/log.ts";
import type { ReportStore } from "../common/storage/report-store.ts";
import { openSqliteReportStore } from "../common/storage/sqlite/reports/report-store.ts";
import { encodedReport, SAMPLE_TIME_MS, sampleReport } from "../common/testing/sample-report.ts";
import { type Report, TargetState } from "../gen/nebula/v1/report_pb.ts";
import { createIngest } from "./ingest.ts";
import { createReporterMetrics } from "./metrics.ts";
import { encodedOriginalReport, SECRET_IN_SAMPLE } from "./testing/original-report.ts";

const REPORT_TTL_MS = 26 * 3_600_000;
const never = new AbortController().signal;

function message(report: Report): BusMessage {
  const value = encodedReport(report);
  return { key: report.deviceId, value, timestampMs: SAMPLE_TIME_MS };
}

/** @param tokens the group of each device that has a token of its own */
function start(store: Pick<ReportStore, "statuses" | "save">, tokens: Readonly<Record<string, string>> = {}, bus?: Pick<ReportBus, "publishDead">) {
  const dead: { record: BusMessage; reason: string }[] = [];
  const events: Announcement[] = [];
  const registry = new Registry();
  const clock = new ManualClock(SAMPLE_TIME_MS);
  const ingest = createIngest({
    store,
    accessStore: {
      async deviceToken(deviceId) {
        const deviceGroup = tokens[deviceId];
        const rest = { tokenHash: "", nextHash: "", enrolmentId: "", enrolledAt: 0, rotatedAt: 0 };
        return deviceGroup === undefined ? undefined : { deviceId, deviceGroup, ...rest };
      },
    },
    bus: bus ?? { publishDead: async (record, reason) => void dead.push({ record, reason }) },
    feed: { publish: (event) => void events.push(event) },
    limits: { duplicateMemoryMs: 3_600_000 },
    reportTtlMs: REPORT_TTL_MS,
    clock,
    log: silentLog,
    metrics: createReporterMetrics(registry, clock),
    misses: () => {},
  });
  return { handler: ingest, ingest: (batch: readonly BusMessage[]) => ingest(batch, never), dead, events, registry, clock };
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

function announced(events: readonly Announcement[]): readonly string[] {
  return events.flatMap((event) => (event.kind === "status" ? (event.news?.changes ?? []) : [])).map(({ deviceId }) => deviceId);
}

function label({ boot, seq }: Report): string {
  return `${boot} ${seq}`;
}

describe("ingest", () => {
  it("ingest stores a report as history and status, announces it, and then resolves", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const { ingest, events, dead } = start(store);
    await ingest([message(sampleReport())]);
    assert.deepEqual((await historyOf(store)).map(label), ["boot-1 1"]);
    assert.equal((await store.getDevice("device-1"))?.report?.seq, 1n);
    const [event] = events;
    assert.ok(event?.kind === "status" && event.deviceGroup === "shops");
    assert.deepEqual(announced(events), ["device-1"]);
    assert.deepEqual(dead, []);
  });

  it("ingest announces each device once a batch, with its newest status, and none for repeats", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const { ingest, events } = start(store);
    const batch = [1n, 2n, 3n].map((seq) => message(sampleReport({ seq })));
    await ingest(batch);
    await ingest(batch);
    assert.deepEqual(announced(events), ["device-1"]);
  });

  it("ingest puts unreadable records aside, and takes the rest of the batch", async () => {
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

  it("ingest writes nothing when its partition was lost while it read the rows", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const lost = new AbortController();
    const { handler, events } = start({
      ...store,
      async statuses(deviceIds) {
        lost.abort(new Error("the partition is lost"));
        return store.statuses(deviceIds);
      },
    });
    await assert.rejects(handler([message(sampleReport())], lost.signal), /the partition is lost/);
    assert.deepEqual(await historyOf(store), []);
    assert.deepEqual(events, []);
  });

  it("ingest gives others their turn after it read the rows, and after it wrote them, where that took long", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    let hadTurn = false;
    const takeLong = async () => {
      await rig.clock.advance(7);
      hadTurn = false;
      setImmediate(() => {
        hadTurn = true;
      });
    };
    const seen: boolean[] = [];
    const rig = start({
      async statuses(deviceIds) {
        await takeLong();
        return store.statuses(deviceIds);
      },
      async save(changes) {
        seen.push(hadTurn);
        await takeLong();
        return store.save(changes);
      },
    });
    await rig.ingest([message(sampleReport())]);
    seen.push(hadTurn);
    assert.deepEqual(seen, [true, true]);
    assert.equal((await historyOf(store)).length, 1);
  });

  it("ingest takes reports of workers of the original: the history as they sent it, newest status by the second at which it was made", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const { ingest, dead } = start(store);
    const made = (second: number, changes: object = {}): BusMessage => {
      const value = encodedOriginalReport({ report_creation_time: second, ...changes });
      return { key: null, value, timestampMs: SAMPLE_TIME_MS };
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

  it("ingest leaves out a record of the original's worker that would move a device out of the group of its token", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const { ingest, registry } = start(store, { "pos-0042": "bank", "pos-0043": "pos" });
    const made = (hostname: string, group: string): BusMessage => {
      const value = encodedOriginalReport({ hostname, device_group: group });
      return { key: null, value, timestampMs: SAMPLE_TIME_MS };
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

  it("ingest finds out itself whether a device has changed something where its worker says nothing of it", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const { ingest } = start(store);
    const made = (second: number, changes: object): BusMessage => {
      const value = encodedOriginalReport({ updated: undefined, report_creation_time: second, ...changes });
      return { key: null, value, timestampMs: SAMPLE_TIME_MS + second };
    };
    await ingest([made(1, {}), made(2, { cpu_usage: { cores: 4, used_percent: 99 } }), made(3, { apps_containers: [] })]);
    assert.deepEqual(
      (await store.listReports({}, { limit: 10 })).items.map(({ updated }) => updated),
      [true, false, true],
    );
  });

  it("ingest notes for each report of ours whether the device has changed something since the one before", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const { ingest } = start(store);
    const apps = (appliedRevision: bigint) => [{ name: "web", revision: 2n, appliedRevision }];
    const at = (seq: bigint, revision: bigint) => message(sampleReport({ seq, apps: apps(revision), receivedMs: SAMPLE_TIME_MS + Number(seq) }));
    await ingest([at(1n, 1n), at(2n, 1n)]);
    await ingest([at(3n, 2n)]);
    const { items } = await store.listReports({}, { limit: 10 });
    assert.deepEqual(
      items.map(({ updated }) => updated),
      [true, false, true],
    );
  });

  it("ingest rejects when the store is unreachable, and has announced nothing then", async () => {
    const away = () => Promise.reject(new NebulaError("unavailable", "away"));
    const { ingest, events, registry } = start({ statuses: async () => new Map(), save: away });
    await assert.rejects(ingest([message(sampleReport())]), /away/);
    assert.deepEqual(events, []);
    assert.match(await registry.metrics(), /nebula_reporter_batch_failures_total 1\n/);
  });

  it("ingest announces the saved rows once for each group of the batch, after the save", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const { ingest, events } = start({
      ...store,
      async save(changes, signal) {
        assert.deepEqual(events, []);
        return store.save(changes, signal);
      },
    });
    await ingest(["a", "b", "c"].map((deviceId) => message(sampleReport({ deviceId, deviceGroup: deviceId === "c" ? "offices" : "shops" }))));
    assert.deepEqual(
      events.map((event) => event.kind === "status" && event.deviceGroup),
      ["shops", "offices"],
    );
    assert.deepEqual(announced(events), ["a", "b", "c"]);
  });

  it("ingest does not bring back a deleted device by reports that it read before, and does by a new one", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const { ingest } = start(store);
    const log = [1n, 2n, 3n].map((seq) => message(sampleReport({ seq })));
    await ingest(log);
    await store.deleteDevice("device-1");
    await ingest(log);
    assert.equal(await store.getDevice("device-1"), undefined);
    assert.equal((await historyOf(store)).length, 3);
    await ingest([message(sampleReport({ seq: 4n }))]);
    assert.equal((await store.getDevice("device-1"))?.report?.seq, 4n);
  });

  it("ingest makes a report that is older than the history the status, and does not insert it", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const { ingest, registry } = start(store);
    const old = sampleReport({ receivedMs: SAMPLE_TIME_MS - REPORT_TTL_MS - 1 });
    await ingest([{ ...message(old), timestampMs: SAMPLE_TIME_MS - REPORT_TTL_MS }]);
    assert.equal((await store.getDevice("device-1"))?.report?.seq, 1n);
    assert.deepEqual(await historyOf(store), []);
    assert.match(await registry.metrics(), /nebula_reporter_too_old_reports_total 1\n/);
  });

  it("ingest measures the age of the newest report that it folded", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const { ingest, registry, clock } = start(store);
    assert.match(await registry.metrics(), /nebula_reporter_newest_report_age_seconds 0\n/);
    await ingest([2000, 5000, 1000].map((ms, index) => message(sampleReport({ seq: BigInt(index + 1), receivedMs: SAMPLE_TIME_MS - ms }))));
    await clock.advance(9000);
    assert.match(await registry.metrics(), /nebula_reporter_newest_report_age_seconds 10\n/);
  });

  it("ingest puts a record aside that the store refuses at every attempt, and continues with the others of its batch", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const { ingest, dead, registry } = start({
      ...store,
      async save(changes, signal) {
        if (changes.some(({ row }) => row.device.deviceId === "poison")) throw new TypeError("this row cannot be encoded");
        return store.save(changes, signal);
      },
    });
    const batch = ["a", "poison", "b"].map((deviceId) => message(sampleReport({ deviceId })));
    let attempts = 1;
    for (; ; attempts++) {
      const done = await ingest(batch).then(
        () => true,
        (error: unknown) => error instanceof TypeError && false,
      );
      if (done) break;
      assert.ok(attempts < 10, "the partition stands still");
    }
    assert.ok(attempts > 1, "a fault that may pass by itself was not tried again");
    assert.deepEqual(
      dead.map(({ record, reason }) => [record.key, reason]),
      [["poison", "the report cannot be stored: this row cannot be encoded"]],
    );
    assert.deepEqual((await historyOf(store)).map(({ deviceId }) => deviceId).sort(), ["a", "b"]);
    assert.match(await registry.metrics(), /nebula_reporter_unreadable_records_total 1\n/);
  });

  it("ingest retries for as long as the store is unavailable, and puts nothing aside meanwhile", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    let away = true;
    const { ingest, dead } = start({
      ...store,
      async save(changes, signal) {
        if (away) throw new NebulaError("unavailable", "away");
        return store.save(changes, signal);
      },
    });
    const batch = [message(sampleReport())];
    for (let attempt = 1; attempt <= 20; attempt++) await assert.rejects(ingest(batch), /away/);
    away = false;
    await ingest(batch);
    assert.deepEqual([dead.length, (await historyOf(store)).length], [0, 1]);
  });

  it("ingest continues when a record can be read neither by itself nor by the topic of such records", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const refuses = { publishDead: async () => Promise.reject(new Error("the record is too large")) };
    const { ingest } = start(store, {}, refuses);
    await ingest([{ key: "device-2", value: Uint8Array.from([255, 255]), timestampMs: SAMPLE_TIME_MS }, message(sampleReport())]);
    assert.equal((await historyOf(store)).length, 1);
    const away = start(store, {}, { publishDead: async () => Promise.reject(new NebulaError("unavailable", "away")) });
    await assert.rejects(away.ingest([{ key: "device-2", value: Uint8Array.from([255, 255]), timestampMs: SAMPLE_TIME_MS }]), /away/);
  });

  it("ingest counts the outcome of each report", async () => {
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
