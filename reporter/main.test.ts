import { strict as assert } from "node:assert";
import { create, toBinary } from "@bufbuild/protobuf";
import { Registry } from "prom-client";
import { createMemoryBus } from "../common/bus/memory-bus.ts";
import type { ReportBus } from "../common/bus/report-bus.ts";
import { ManualClock } from "../common/clock/manual-clock.ts";
import { isNebulaError } from "../common/errors/nebula-error.ts";
import { createMemoryFeed } from "../common/feed/memory-feed.ts";
import { silentLog } from "../common/log/log.ts";
import { openSqliteReportStore } from "../common/storage/sqlite/report-store.ts";
import { eventually } from "../common/testing/eventually.ts";
import { SAMPLE_TIME_MS, sampleReport } from "../common/testing/sample-report.ts";
import { BusRecordSchema, type Report } from "../gen/nebula/v1/report_pb.ts";
import { startReporter } from "./main.ts";

const never = new AbortController().signal;
const accessStore = { deviceToken: async () => undefined };
const settings = { reportTtlMs: 3_600_000 };

function record(report: Report) {
  return { key: report.deviceId, value: toBinary(BusRecordSchema, create(BusRecordSchema, { record: { case: "report", value: report } })) };
}

describe("reporter", () => {
  it("takes reports from the bus into the store as soon as it has started, and announces them", async () => {
    const clock = new ManualClock(SAMPLE_TIME_MS);
    await using reportStore = await openSqliteReportStore({ path: ":memory:" });
    await using reportBus = createMemoryBus({ clock });
    const changeFeed = createMemoryFeed({ log: silentLog });
    const told: string[] = [];
    changeFeed.subscribe((event) => void told.push(event.kind === "status" ? event.deviceGroup : event.kind));
    changeFeed.followStatus("shops");
    await using reporter = await startReporter({
      settings,
      drivers: { reportBus, reportStore, accessStore, changeFeed },
      clock,
      log: silentLog,
      registry: new Registry(),
    });
    assert.equal(reporter.ready, true);
    await reportBus.publish(record(sampleReport()), never);
    assert.equal((await reportStore.getDevice("device-1"))?.report?.seq, 1n);
    await eventually(() => told.length > 0);
    assert.deepEqual(told, ["shops"]);
  });

  it("stops after the batch that it is at, which is committed", async () => {
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
    const reporter = await startReporter({
      settings,
      drivers: { reportBus, reportStore, accessStore, changeFeed },
      clock,
      log: silentLog,
      registry: new Registry(),
    });
    const published = reportBus.publish(record(sampleReport()), never);
    await saving.promise;
    const stopped = reporter[Symbol.asyncDispose]();
    release.resolve();
    await Promise.all([published, stopped]);
    assert.equal(reporter.ready, false);
    assert.ok(await store.getDevice("device-1"));
    await assert.rejects(reportBus.publish(record(sampleReport({ seq: 2n })), never), (error) => isNebulaError(error, "unavailable"));
  });

  it("begins to consume again, with growing waits, when the bus fails", async () => {
    const clock = new ManualClock(SAMPLE_TIME_MS);
    await using reportStore = await openSqliteReportStore({ path: ":memory:" });
    await using memory = createMemoryBus({ clock });
    const begun: number[] = [];
    const reportBus: ReportBus = {
      publish: memory.publish,
      publishDead: memory.publishDead,
      async consume(handler, signal) {
        begun.push(clock.monotonic());
        if (begun.length <= 3) throw new Error("the broker has gone");
        await memory.consume(handler, signal);
      },
      async [Symbol.asyncDispose]() {},
    };
    const registry = new Registry();
    const changeFeed = createMemoryFeed({ log: silentLog });
    await using reporter = await startReporter({
      settings,
      drivers: { reportBus, reportStore, accessStore, changeFeed },
      clock,
      log: silentLog,
      registry,
    });
    await clock.advance(10_000);
    assert.deepEqual(begun, [0, 500, 1500, 3500]);
    assert.equal(reporter.ready, true);
    await memory.publish(record(sampleReport()), never);
    assert.match(await registry.metrics(), /nebula_reporter_consumer_restarts_total 3\n/);
  });

  it("removes reports above their time to live", async () => {
    const clock = new ManualClock(SAMPLE_TIME_MS);
    await using reportStore = await openSqliteReportStore({ path: ":memory:" });
    await using reportBus = createMemoryBus({ clock });
    const changeFeed = createMemoryFeed({ log: silentLog });
    await using _reporter = await startReporter({
      settings,
      drivers: { reportBus, reportStore, accessStore, changeFeed },
      clock,
      log: silentLog,
      registry: new Registry(),
    });
    await reportBus.publish(record(sampleReport()), never);
    await clock.advance(settings.reportTtlMs - 60_000);
    assert.equal((await reportStore.listReports({}, { limit: 10 })).items.length, 1);
    await clock.advance(120_000);
    await eventually(async () => (await reportStore.listReports({}, { limit: 10 })).items.length === 0);
    assert.ok(await reportStore.getDevice("device-1"));
  });
});
