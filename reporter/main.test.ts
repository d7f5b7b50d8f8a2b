import { strict as assert } from "node:assert";
import { Registry } from "prom-client";
import { createMemoryBus } from "../common/bus/memory-bus.ts";
import type { ReportBus } from "../common/bus/report-bus.ts";
import { ManualClock } from "../common/clock/manual-clock.ts";
import { isNebulaError, NebulaError } from "../common/errors/nebula-error.ts";
import { createMemoryFeed } from "../common/feed/memory-feed.ts";
import { silentLog } from "../common/log/log.ts";
import type { ReportStore } from "../common/storage/report-store.ts";
import { openSqliteReportStore } from "../common/storage/sqlite/reports/report-store.ts";
import { eventually } from "../common/testing/eventually.ts";
import { encodedReport, SAMPLE_TIME_MS, sampleReport } from "../common/testing/sample-report.ts";
import type { Report } from "../gen/nebula/v1/report_pb.ts";
import { type ReporterOptions, startReporter } from "./main.ts";

const never = new AbortController().signal;
const accessStore = { deviceToken: async () => undefined };
const settings = { reportTtlMs: 3_600_000 };

function record(report: Report) {
  return { key: report.deviceId, value: encodedReport(report) };
}

function start(drivers: ReporterOptions["drivers"], clock: ManualClock, registry = new Registry()) {
  return startReporter({ settings, drivers, clock, log: silentLog, registry });
}

describe("reporter", () => {
  it("the reporter stores reports from the bus as soon as it has started, and announces them", async () => {
    const clock = new ManualClock(SAMPLE_TIME_MS);
    await using reportStore = await openSqliteReportStore({ path: ":memory:" });
    await using reportBus = createMemoryBus({ clock });
    const changeFeed = createMemoryFeed({ log: silentLog });
    const told: string[] = [];
    changeFeed.subscribe((event) => void told.push(event.kind === "status" ? event.deviceGroup : event.kind));
    await changeFeed.followStatus("shops");
    await using reporter = await start({ reportBus, reportStore, accessStore, changeFeed }, clock);
    assert.deepEqual(reporter.notReady, []);
    await reportBus.publish(record(sampleReport()), never);
    assert.equal((await reportStore.getDevice("device-1"))?.report?.seq, 1n);
    await eventually(() => told.length > 0);
    assert.deepEqual(told, ["shops"]);
  });

  it("the reporter stops after the current batch, which is committed", async () => {
    const clock = new ManualClock(SAMPLE_TIME_MS);
    await using store = await openSqliteReportStore({ path: ":memory:" });
    await using reportBus = createMemoryBus({ clock });
    const saving = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    const reportStore = {
      ...store,
      async save(batch: Parameters<typeof store.save>[0]) {
        saving.resolve();
        await release.promise;
        return store.save(batch);
      },
    };
    const changeFeed = createMemoryFeed({ log: silentLog });
    const reporter = await start({ reportBus, reportStore, accessStore, changeFeed }, clock);
    const published = reportBus.publish(record(sampleReport()), never);
    await saving.promise;
    const stopped = reporter[Symbol.asyncDispose]();
    release.resolve();
    await Promise.all([published, stopped]);
    assert.match(reporter.notReady.join(), /^NEBULA_BUS: .* has not been joined$/);
    assert.ok(await store.getDevice("device-1"));
    await assert.rejects(reportBus.publish(record(sampleReport({ seq: 2n })), never), (error) => isNebulaError(error, "unavailable"));
  });

  it("the reporter is ready once the bus reports that it has joined, and not before", async () => {
    const clock = new ManualClock(SAMPLE_TIME_MS);
    await using reportStore = await openSqliteReportStore({ path: ":memory:" });
    await using memory = createMemoryBus({ clock });
    const join = Promise.withResolvers<void>();
    const reportBus: ReportBus = {
      ...memory,
      async consume(handler, options) {
        await join.promise;
        await memory.consume(handler, options);
      },
    };
    const changeFeed = createMemoryFeed({ log: silentLog });
    await using reporter = await start({ reportBus, reportStore, accessStore, changeFeed }, clock);
    await clock.advance(1_000);
    assert.match(reporter.notReady.join(), /^NEBULA_BUS: .* has not been joined$/);
    join.resolve();
    await eventually(() => reporter.notReady.length === 0);
  });

  it("the reporter names the store that its batches wait for, until one is stored", async () => {
    const clock = new ManualClock(SAMPLE_TIME_MS);
    await using store = await openSqliteReportStore({ path: ":memory:" });
    await using reportBus = createMemoryBus({ clock });
    let away = true;
    const reportStore: ReportStore = {
      ...store,
      async save(changes, signal) {
        if (away) throw new NebulaError("unavailable", "the store did not answer within 3 s");
        return store.save(changes, signal);
      },
    };
    await using reporter = await start({ reportBus, reportStore, accessStore, changeFeed: createMemoryFeed({ log: silentLog }) }, clock);
    const published = reportBus.publish(record(sampleReport()), never);
    await eventually(() => reporter.notReady.length > 0);
    assert.deepEqual(reporter.notReady, ["NEBULA_REPORTS is unavailable: the store did not answer within 3 s"]);
    away = false;
    await clock.advance(1000);
    await published;
    assert.deepEqual(reporter.notReady, []);
  });

  it("the reporter begins to consume again, with growing waits, when the bus fails", async () => {
    const clock = new ManualClock(SAMPLE_TIME_MS);
    await using reportStore = await openSqliteReportStore({ path: ":memory:" });
    await using memory = createMemoryBus({ clock });
    const begun: number[] = [];
    const reportBus: ReportBus = {
      publish: memory.publish,
      publishDead: memory.publishDead,
      async consume(handler, options) {
        begun.push(clock.monotonic());
        if (begun.length <= 3) throw new Error("the broker has gone");
        await memory.consume(handler, options);
      },
      async [Symbol.asyncDispose]() {},
    };
    const registry = new Registry();
    const changeFeed = createMemoryFeed({ log: silentLog });
    await using reporter = await start({ reportBus, reportStore, accessStore, changeFeed }, clock, registry);
    await clock.advance(10_000);
    assert.deepEqual(begun, [0, 500, 1500, 3500]);
    assert.deepEqual(reporter.notReady, []);
    await memory.publish(record(sampleReport()), never);
    assert.match(await registry.metrics(), /nebula_reporter_consumer_restarts_total 3\n/);
  });

  it("the reporter removes reports above their time to live", async () => {
    const clock = new ManualClock(SAMPLE_TIME_MS);
    await using reportStore = await openSqliteReportStore({ path: ":memory:" });
    await using reportBus = createMemoryBus({ clock });
    const changeFeed = createMemoryFeed({ log: silentLog });
    await using _reporter = await start({ reportBus, reportStore, accessStore, changeFeed }, clock);
    await reportBus.publish(record(sampleReport()), never);
    await clock.advance(settings.reportTtlMs - 60_000);
    assert.equal((await reportStore.listReports({}, { limit: 10 })).items.length, 1);
    await clock.advance(120_000);
    await eventually(async () => (await reportStore.listReports({}, { limit: 10 })).items.length === 0);
    assert.ok(await reportStore.getDevice("device-1"));
  });
});
