import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { Registry } from "prom-client";
import { createMemoryBus } from "../common/bus/memory-bus.ts";
import type { Clock } from "../common/clock/clock.ts";
import { systemClock } from "../common/clock/system-clock.ts";
import { isNebulaError, NebulaError } from "../common/errors/nebula-error.ts";
import { createMemoryFeed } from "../common/feed/memory-feed.ts";
import { silentLog } from "../common/log/log.ts";
import type { ReportStore } from "../common/storage/report-store.ts";
import { openSqliteAccessStore } from "../common/storage/sqlite/access/access-store.ts";
import { openSqliteConfigStore } from "../common/storage/sqlite/config-store.ts";
import { openSqliteReportStore } from "../common/storage/sqlite/reports/report-store.ts";
import { sampleReport } from "../common/testing/sample-report.ts";
import { type Device, ListDevicesRequestSchema } from "../gen/nebula/v1/device_pb.ts";
import { ListReportsRequestSchema, ListReportsResponseSchema, type Report, SubmitReportsRequestSchema } from "../gen/nebula/v1/report_pb.ts";
import { PresentGroups } from "../manager/access/present-groups.ts";
import { ADMIN_RIGHTS } from "../manager/access/rights/rights.ts";
import { DeviceConnections } from "../manager/insight/presence/device-connections.ts";
import { createGroupViews } from "../manager/insight/views/group-views.ts";
import type { CallContext } from "../manager/rpc/call-context.ts";
import { createDeviceServiceHandlers } from "../manager/services/device-service.ts";
import { createFleetHandlers } from "../manager/services/devices/fleet-handlers.ts";
import { createReportServiceHandlers } from "../manager/services/report-service.ts";
import { TEST_PAGES } from "../manager/testing/test-access.ts";
import { startReporter } from "../reporter/main.ts";

const SKEW_MS = 10_000;
const context: CallContext = {
  principal: { kind: "user", name: "admin", rights: ADMIN_RIGHTS },
  signal: new AbortController().signal,
  peer: "127.0.0.1",
  requestId: "test",
  changed() {},
};

const ahead: Clock = { ...systemClock, now: () => systemClock.now() + SKEW_MS };

/** The store, which fails some of its saves: before they are done, or after. */
function unsteady(store: ReportStore, failures: readonly ("before" | "after" | undefined)[]): ReportStore {
  const left = [...failures];
  return {
    ...store,
    async save(batch) {
      const failure = left.shift();
      const outcome = failure === "before" ? { leftOut: 0 } : await store.save(batch);
      if (failure !== undefined) throw new NebulaError("unavailable", "the disk hung");
      return outcome;
    },
  };
}

/** Two shards with clocks 10 s apart, one bus, one reporter, on a file. */
async function startServer(failures: readonly ("before" | "after" | undefined)[] = []) {
  const folder = await mkdtemp(join(tmpdir(), "nebula-reports-"));
  const store = await openSqliteReportStore({ path: join(folder, "reports.db") });
  const reportBus = createMemoryBus({ clock: systemClock });
  const configStore = await openSqliteConfigStore({ path: ":memory:" });
  const accessStore = await openSqliteAccessStore({ path: ":memory:" });
  const changeFeed = createMemoryFeed({ log: silentLog });
  const startReporting = () =>
    startReporter({
      settings: { reportTtlMs: 3_600_000 },
      drivers: { reportBus, reportStore: unsteady(store, failures), accessStore, changeFeed: createMemoryFeed({ log: silentLog }) },
      clock: systemClock,
      log: silentLog,
      registry: new Registry(),
    });
  let reporter = await startReporting();
  const groupsOf = (clock: Clock) => new PresentGroups({ accessStore, reportStore: store, clock, cacheTimeMs: 10_000 });
  const reportLimits = { assertRate() {}, async assertRoom() {} };
  const shards = [systemClock, ahead].map((clock) =>
    createReportServiceHandlers({
      visiblePages: TEST_PAGES,
      reportBus,
      reportStore: store,
      presentGroups: groupsOf(clock),
      reportLimits,
      clock,
      log: silentLog,
    }),
  );
  const presentGroups = groupsOf(systemClock);
  const deviceConnections = new DeviceConnections({ store, ownBoot: "boot", clock: systemClock });
  const parts = { reportStore: store, presentGroups, changeFeed, log: silentLog };
  const groupViews = createGroupViews({ store, feed: changeFeed, clock: systemClock, log: silentLog });
  const { listDevices } = createFleetHandlers({ ...parts, groupViews, configStore, accessStore, clock: systemClock });
  const devices = createDeviceServiceHandlers({ ...parts, deviceConnections, listDevices });
  return {
    async submit(shard: number, report: Report) {
      await shards[shard]?.submitReports(create(SubmitReportsRequestSchema, { reports: [report] }), context);
    },
    async restartReporter() {
      await reporter[Symbol.asyncDispose]();
      reporter = await startReporting();
    },
    async device(deviceId: string): Promise<Device | undefined> {
      return store.getDevice(deviceId);
    },
    async devices() {
      return (await devices.listDevices(create(ListDevicesRequestSchema, { pageSize: 1000 }), context)).devices ?? [];
    },
    async history(deviceId: string) {
      const answer = await shards[0]?.listReports(create(ListReportsRequestSchema, { deviceId, pageSize: 1000 }), context);
      return create(ListReportsResponseSchema, answer).reports.flatMap((stored) => stored.report ?? []);
    },
    async [Symbol.asyncDispose]() {
      await reporter[Symbol.asyncDispose]();
      await reportBus[Symbol.asyncDispose]();
      groupViews[Symbol.dispose]();
      for (const each of [changeFeed, configStore, accessStore, store]) await each[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

type Server = Awaited<ReturnType<typeof startServer>>;

/** Sends as a worker does: one report in flight, again while the bus is down; sometimes to both shards, as after an answer that was lost. */
async function send(server: Server, report: Report, { shard, twice }: { shard: number; twice: boolean }): Promise<void> {
  for (const target of twice ? [shard, 1 - shard] : [shard]) {
    for (let sent = false; !sent; ) {
      sent = await server.submit(target, report).then(
        () => true,
        async (error: unknown) => {
          if (!isNebulaError(error, "unavailable")) throw error;
          await systemClock.sleep(10, context.signal);
          return false;
        },
      );
    }
  }
}

function label({ boot, seq }: { boot: string; seq: bigint }): string {
  return `${boot} ${seq}`;
}

describe("reports, from the shard to the store", () => {
  it("reports are in the store when SubmitReports answers", async () => {
    await using server = await startServer();
    const before = Date.now();
    await server.submit(0, sampleReport());
    const [report] = await server.history("device-1");
    const receivedMs = report?.receivedAt === undefined ? 0 : timestampMs(report.receivedAt);
    assert.ok(receivedMs >= before && receivedMs <= Date.now());
    assert.equal((await server.device("device-1"))?.report?.seq, 1n);
  });

  it("reports leave the right newest status, and each report in the history once, for any mix of boots, shards, repeats and failures", async () => {
    const steps = fc.array(fc.record({ shard: fc.constantFrom(0, 1), twice: fc.boolean() }), { minLength: 1, maxLength: 4 });
    const fleet = fc.array(fc.tuple(steps, steps), { minLength: 5, maxLength: 20 });
    const failures = fc.array(fc.constantFrom("before", "after", undefined, undefined, undefined), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(fleet, failures, async (devices, fails) => {
        await using server = await startServer(fails);
        await Promise.all(
          devices.map(async (boots, index) => {
            const deviceId = `device-${index}`;
            for (const [start, ofBoot] of boots.entries()) {
              for (const [number, step] of ofBoot.entries())
                await send(server, sampleReport({ deviceId, boot: `boot-${start}`, seq: BigInt(number + 1) }), step);
            }
          }),
        );
        assert.equal((await server.devices()).length, devices.length);
        for (const [index, boots] of devices.entries()) {
          const sent = boots.flatMap((ofBoot, start) => ofBoot.map((_, number) => label({ boot: `boot-${start}`, seq: BigInt(number + 1) })));
          const status = await server.device(`device-${index}`);
          assert.equal(status?.report && label(status.report), sent.at(-1));
          assert.equal(status?.duplicateId, false);
          assert.deepEqual((await server.history(`device-${index}`)).map(label).sort(), sent.sort());
        }
      }),
      { numRuns: 8 },
    );
  });

  it("reports survive a reporter that is stopped and started again: a worker retries, nothing is doubled", async () => {
    await using server = await startServer();
    let done = false;
    const sending = Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        for (let seq = 1n; seq <= 20n; seq++)
          await send(server, sampleReport({ deviceId: `device-${index}`, seq }), { shard: index % 2, twice: seq % 5n === 0n });
      }),
    ).finally(() => {
      done = true;
    });
    while (!done) {
      await server.restartReporter();
      await systemClock.sleep(5, context.signal);
    }
    await sending;
    for (let index = 0; index < 20; index++) {
      assert.equal((await server.device(`device-${index}`))?.report?.seq, 20n);
      assert.equal((await server.history(`device-${index}`)).length, 20);
    }
  });
});
