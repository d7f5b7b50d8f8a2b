import { strict as assert } from "node:assert";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import { silentLog } from "../../common/log/log.ts";
import { firstReportIdAt } from "../../common/storage/report-id.ts";
import { openSqliteAccessStore } from "../../common/storage/sqlite/access/access-store.ts";
import { openSqliteConfigStore } from "../../common/storage/sqlite/config-store.ts";
import { openSqliteReportStore } from "../../common/storage/sqlite/reports/report-store.ts";
import { SAMPLE_TIME_MS, sampleReport } from "../../common/testing/sample-report.ts";
import { saveReports, statusRow, storedReport } from "../../common/testing/save-reports.ts";
import { BusRecordSchema, ListReportsRequestSchema, type Report, SubmitReportsRequestSchema, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { createReportLimits, REPORTS } from "../access/limits/report-limits.ts";
import { inUseElsewhere, PresentGroups } from "../access/present-groups.ts";
import type { Principal } from "../access/principal.ts";
import { ADMIN_RIGHTS, rightsOf } from "../access/rights/rights.ts";
import type { CallContext } from "../rpc/call-context.ts";
import { putTestDevice, TEST_PAGES } from "../testing/test-access.ts";
import { createReportServiceHandlers } from "./report-service.ts";

const context: CallContext = {
  principal: { kind: "user", name: "admin", rights: ADMIN_RIGHTS },
  signal: new AbortController().signal,
  peer: "127.0.0.1",
  requestId: "test",
  changed() {},
};

/** The service over a real store and a bus that keeps what it is given. */
async function start({ full = false, mostDevices = 1000 } = {}) {
  const reportStore = await openSqliteReportStore({ path: ":memory:" });
  const accessStore = await openSqliteAccessStore({ path: ":memory:" });
  const configStore = await openSqliteConfigStore({ path: ":memory:" });
  const published: { key: string; report: Report | undefined; withoutToken: boolean }[] = [];
  const reportBus = {
    async publish({ key, value }: { key: string; value: Uint8Array }) {
      if (full) throw new NebulaError("unavailable", "the report bus is full");
      const { record, withoutToken } = fromBinary(BusRecordSchema, value);
      published.push({ key, report: record.value, withoutToken });
    },
  };
  const clock = new ManualClock(SAMPLE_TIME_MS + 5000);
  const presentGroups = new PresentGroups({ accessStore, reportStore, clock, cacheTimeMs: 10_000 });
  const reportLimits = createReportLimits({ reportStore, configStore, mostDevices, clock });
  const service = createReportServiceHandlers({
    visiblePages: TEST_PAGES,
    reportBus,
    reportStore,
    presentGroups,
    reportLimits,
    clock,
    log: silentLog,
  });
  return {
    published,
    clock,
    reportStore,
    accessStore,
    submit: (reports: MessageInitShape<typeof SubmitReportsRequestSchema>["reports"], principal: Principal = context.principal) =>
      service.submitReports(create(SubmitReportsRequestSchema, reports === undefined ? {} : { reports }), { ...context, principal }),
    list: (request: MessageInitShape<typeof ListReportsRequestSchema> = {}) =>
      service.listReports(create(ListReportsRequestSchema, request), context),
    closeStores,
    [Symbol.asyncDispose]: closeStores,
  };

  async function closeStores(): Promise<void> {
    for (const store of [reportStore, accessStore, configStore]) await store[Symbol.asyncDispose]();
  }
}

function refuses(...fields: string[]) {
  return (error: unknown) => {
    assert.ok(isNebulaError(error, "invalid_argument"), String(error));
    assert.deepEqual(
      error.violations.map((violation) => violation.field),
      fields,
    );
    return true;
  };
}

function userWith(deviceGroups: Record<string, string>): Principal {
  return { kind: "user", name: "bob", rights: rightsOf([{ admin: false, pruningAllowed: false, apps: {}, cronJobs: {}, deviceGroups }]) };
}

/** Where the device is, and what it has, stays untold. */
function refusesElsewhere(deviceId: string) {
  return (error: unknown) => {
    assert.ok(isNebulaError(error, "permission_denied"), String(error));
    assert.equal(error.message, inUseElsewhere(deviceId).message);
    assert.ok(error.audited);
    return true;
  };
}

describe("SubmitReports", () => {
  it("SubmitReports publishes each report under its device, in order, with the shard's time in place of the time of the device", async () => {
    await using service = await start();
    await service.submit([sampleReport({ receivedMs: 1 }), sampleReport({ seq: 2n, receivedAt: { seconds: 2n ** 40n } })]);
    assert.deepEqual(
      service.published.map(({ key, report }) => [key, report?.seq, report?.receivedAt]),
      [
        ["device-1", 1n, timestampFromMs(SAMPLE_TIME_MS + 5000)],
        ["device-1", 2n, timestampFromMs(SAMPLE_TIME_MS + 5000)],
      ],
    );
  });

  it("SubmitReports names every field that is wrong, and publishes nothing", async () => {
    await using service = await start();
    const bad = [sampleReport(), sampleReport({ seq: 0n, boot: "" }), sampleReport({ deviceGroup: "no group" })];
    await assert.rejects(async () => service.submit(bad), refuses("reports[1].boot", "reports[1].seq", "reports[2].device_group"));
    assert.deepEqual(service.published, []);
  });

  it("SubmitReports takes 1 to 100 reports", async () => {
    await using service = await start();
    const many = Array.from({ length: 101 }, (_, index) => sampleReport({ seq: BigInt(index + 1) }));
    await assert.rejects(async () => service.submit([]), refuses("reports"));
    await assert.rejects(async () => service.submit(many), refuses("reports"));
    await service.submit(many.slice(1));
    assert.equal(service.published.length, 100);
  });

  it("SubmitReports takes reports of one device in a call", async () => {
    await using service = await start();
    await assert.rejects(async () => service.submit([sampleReport(), sampleReport({ deviceId: "device-2" })]), refuses("reports[1].device_id"));
  });

  it("SubmitReports moves no device with a token into another device_group than that of the token, even from a caller who may report there", async () => {
    await using service = await start();
    await putTestDevice(service.accessStore, "till-1", "bank");
    const bob = userWith({ shops: "ro" });
    const taken = sampleReport({ deviceId: "till-1", deviceGroup: "shops" });
    await assert.rejects(async () => service.submit([taken], bob), refusesElsewhere("till-1"));
    const own = sampleReport({ deviceId: "till-1", deviceGroup: "bank" });
    await assert.rejects(async () => service.submit([own, taken], bob), refusesElsewhere("till-1"));
    const ann = userWith({ shops: "ro", bank: "ro" });
    await assert.rejects(async () => service.submit([own, taken], ann), /till-1 has a token of its own, for another device_group than shops/);
    assert.deepEqual(service.published, []);
    await service.submit([own], ann);
    await service.submit([sampleReport({ deviceId: "device-1", deviceGroup: "shops" })], bob); // has no token
    await service.submit([taken], { kind: "device", deviceId: "till-1", deviceGroup: "shops", tokenHash: "" }); // its token says so
    assert.equal(service.published.length, 3);
  });

  it("SubmitReports moves a device out of its device_group only for a caller who may read that group too, or an admin, and reveals nothing else", async () => {
    await using service = await start();
    const put = (deviceGroup: string, writtenAt: bigint) => {
      const report = sampleReport({ deviceId: "till-2", deviceGroup });
      return saveReports(service.reportStore, { statuses: [statusRow(report, writtenAt)] });
    };
    await put("bank", 1n);
    const taken = sampleReport({ deviceId: "till-2", deviceGroup: "shops" });
    await assert.rejects(async () => service.submit([taken], userWith({ shops: "rw" })), refusesElsewhere("till-2"));
    assert.deepEqual(service.published, []);
    await service.submit([taken], userWith({ shops: "ro", bank: "ro" }));
    await put("shops", 2n);
    await service.submit([sampleReport({ deviceId: "till-2", deviceGroup: "shops" })], userWith({ shops: "ro" }));
    await assert.rejects(
      async () => service.submit([sampleReport({ deviceId: "till-2", deviceGroup: "bank" })], userWith({ bank: "ro" })),
      refusesElsewhere("till-2"),
    );
    await service.submit([sampleReport({ deviceId: "till-2", deviceGroup: "bank" })]); // an admin
    assert.equal(service.published.length, 3);
  });

  it("SubmitReports holds a device to a burst of reports and a pace, with the time to come back", async () => {
    await using service = await start();
    const reports = (from: number, count: number) => Array.from({ length: count }, (_, index) => sampleReport({ seq: BigInt(from + index) }));
    await service.submit(reports(1, REPORTS.inARow));
    const refused = (error: unknown) => isNebulaError(error, "resource_exhausted") && error.retryAfterMs === REPORTS.oneMoreMs;
    await assert.rejects(async () => service.submit(reports(21, 1)), refused);
    await service.submit([sampleReport({ deviceId: "device-2" })]);
    await service.clock.advance(REPORTS.oneMoreMs);
    await service.submit(reports(21, 1));
    assert.equal(service.published.length, REPORTS.inARow + 2);
  });

  it("SubmitReports admits a limited number of devices without a token of their own to a group, and any with one", async () => {
    await using service = await start({ mostDevices: 2 });
    const put = (deviceId: string) => {
      return saveReports(service.reportStore, { statuses: [{ ...statusRow(sampleReport({ deviceId })), withoutToken: true }] });
    };
    await put("device-1");
    const bob = userWith({ shops: "ro" });
    await service.submit([sampleReport({ deviceId: "device-2" })], bob);
    await put("device-2");
    await assert.rejects(
      async () => service.submit([sampleReport({ deviceId: "device-3" })], bob),
      (error) => isNebulaError(error, "resource_exhausted") && /NEBULA_MAX_DEVICES_PER_GROUP/.test(error.message) && error.retryAfterMs === 60_000,
    );
    await service.submit([sampleReport({ deviceId: "device-1", seq: 2n })], bob);
    await putTestDevice(service.accessStore, "device-4", "shops");
    await service.submit([sampleReport({ deviceId: "device-4" })], { kind: "device", deviceId: "device-4", deviceGroup: "shops", tokenHash: "" });
    await service.submit([sampleReport({ deviceId: "device-4", seq: 2n })], bob);
    assert.deepEqual(
      service.published.map(({ key, withoutToken }) => [key, withoutToken]),
      [
        ["device-2", true],
        ["device-1", true],
        ["device-4", false],
        ["device-4", false],
      ],
    );
  });

  it("SubmitReports takes no room in a group for calls that are refused for their rate", async () => {
    await using service = await start({ mostDevices: 2 });
    const burst = Array.from({ length: REPORTS.inARow }, (_, index) => sampleReport({ deviceId: "device-1", seq: BigInt(index + 1) }));
    await service.submit(burst);
    for (let count = 0; count < 3; count++) {
      await assert.rejects(async () => service.submit([sampleReport({ deviceId: "device-1", seq: 99n })]), /reports too often/);
    }
    await service.submit([sampleReport({ deviceId: "device-2" })]);
    assert.equal(service.published.at(-1)?.key, "device-2");
  });

  it("SubmitReports refuses a report that no bus would take", async () => {
    await using service = await start();
    const large = sampleReport({ apps: [{ name: "web", reason: "x".repeat(1_000_000) }] });
    await assert.rejects(async () => service.submit([sampleReport(), large]), refuses("reports[1]"));
    assert.deepEqual(service.published, []);
  });

  it("SubmitReports takes the reports of a device with a token of its own while the stores are unreachable, and is unavailable to a user's", async () => {
    await using service = await start();
    await service.closeStores();
    const device: Principal = { kind: "device", deviceId: "device-1", deviceGroup: "shops", tokenHash: "" };
    await service.submit([sampleReport({ deviceId: "device-1", deviceGroup: "shops" })], device);
    assert.equal(service.published.length, 1);
    await assert.rejects(
      async () => service.submit([sampleReport({ deviceId: "device-2", deviceGroup: "shops" })], userWith({ shops: "ro" })),
      (error) => isNebulaError(error, "unavailable"),
    );
  });

  it("SubmitReports answers unavailable when the bus does", async () => {
    await using service = await start({ full: true });
    await assert.rejects(
      async () => service.submit([sampleReport()]),
      (error) => isNebulaError(error, "unavailable"),
    );
  });
});

describe("ListReports", () => {
  async function withHistory() {
    const service = await start();
    const reports = Array.from({ length: 120 }, (_, index) =>
      storedReport(
        sampleReport({
          deviceId: `device-${index % 2}`,
          seq: BigInt(index + 1),
          state: index % 3 === 0 ? TargetState.FAILED : TargetState.APPLIED,
          receivedMs: SAMPLE_TIME_MS + index * 1000,
        }),
      ),
    );
    await saveReports(service.reportStore, { reports });
    return service;
  }

  it("ListReports answers 100 by default, and the rest by the token", async () => {
    await using service = await withHistory();
    const first = await service.list();
    assert.equal(first.reports?.length, 100);
    const second = await service.list({ pageToken: first.nextPageToken ?? "" });
    assert.equal(second.reports?.length, 20);
    assert.equal(second.nextPageToken, "");
    assert.equal((await service.list({ pageSize: 7 })).reports?.length, 7);
  });

  it("ListReports continues after the report of an id, and refuses an invalid id", async () => {
    await using service = await withHistory();
    const afterId = firstReportIdAt(SAMPLE_TIME_MS + 118_000);
    const { reports = [], nextPageToken } = await service.list({ afterId: afterId.toUpperCase() });
    assert.deepEqual([reports.map((stored) => stored.report?.seq), nextPageToken], [[119n, 120n], ""]);
    await assert.rejects(async () => service.list({ afterId: "117" }), refuses("after_id"));
  });

  it("ListReports answers the reports of each filter", async () => {
    await using service = await withHistory();
    const count = async (request: MessageInitShape<typeof ListReportsRequestSchema>) =>
      (await service.list({ ...request, pageSize: 1000 })).reports?.length;
    assert.equal(await count({ deviceId: "device-1" }), 60);
    assert.equal(await count({ deviceGroup: "shops" }), 120);
    assert.equal(await count({ deviceGroup: "offices" }), 0);
    assert.equal(await count({ state: TargetState.FAILED }), 40);
    assert.equal(await count({ deviceId: "device-1", state: TargetState.FAILED }), 20);
    assert.equal(
      await count({ receivedFrom: timestampFromMs(SAMPLE_TIME_MS + 10_000), receivedUntil: timestampFromMs(SAMPLE_TIME_MS + 20_000) }),
      10,
    );
  });

  it("ListReports refuses pages that are too large, tokens that were never given, filters that nothing matches, and impossible times", async () => {
    await using service = await withHistory();
    await assert.rejects(async () => service.list({ pageSize: 1001 }), refuses("page_size"));
    await assert.rejects(async () => service.list({ pageToken: "nonsense" }), refuses("page_token"));
    await assert.rejects(async () => service.list({ deviceId: "a b", deviceGroup: "c d" }), refuses("device_id", "device_group"));
    await assert.rejects(async () => service.list({ receivedFrom: { seconds: 2n ** 60n } }), refuses("received_from"));
    await assert.rejects(async () => service.list({ receivedUntil: { seconds: 1n, nanos: -1 } }), refuses("received_until"));
  });
});
