import { strict as assert } from "node:assert";
import { create, equals } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { type Device, DeviceSchema } from "../../gen/nebula/v1/device_pb.ts";
import { type Report, type StoredReport, StoredReportSchema, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { isNebulaError } from "../errors/nebula-error.ts";
import { readAll } from "../testing/read-all.ts";
import { SAMPLE_TIME_MS, sampleReport } from "../testing/sample-report.ts";
import {
  type DeviceFilter,
  HISTORY_BYTES_PER_DEVICE,
  type PageRequest,
  type ReportFilter,
  type ReportStore,
  type StatusRow,
} from "./report-store.ts";

function statusRow(report: Report, writtenAt = 1n): StatusRow {
  const device = create(DeviceSchema, {
    deviceId: report.deviceId,
    deviceGroup: report.deviceGroup,
    report,
    firstSeenAt: timestampFromMs(SAMPLE_TIME_MS),
  });
  return { device, writtenAt };
}

function stored(id: number, report: Report): StoredReport {
  return create(StoredReportSchema, { id: id.toString(16).padStart(24, "0"), report });
}

function matches(report: Report | undefined, filter: ReportFilter): boolean {
  const receivedMs = Number(report?.receivedAt?.seconds ?? 0n) * 1000 + (report?.receivedAt?.nanos ?? 0) / 1_000_000;
  return (
    (filter.deviceId === undefined || report?.deviceId === filter.deviceId) &&
    (filter.deviceGroup === undefined || report?.deviceGroup === filter.deviceGroup) &&
    (filter.state === undefined || report?.state === filter.state) &&
    receivedMs >= (filter.receivedFromMs ?? 0) &&
    receivedMs < (filter.receivedUntilMs ?? Number.MAX_SAFE_INTEGER)
  );
}

/** A filter without what is undefined in it. */
function given<T extends object>(filter: { [K in keyof T]: T[K] | undefined }): T {
  return JSON.parse(JSON.stringify(filter));
}

function optional<T>(value: fc.Arbitrary<T>) {
  return fc.option(value, { nil: undefined });
}

const anyDeviceId = fc.constantFrom("device-1", "device-2", "device-3");
const anyGroup = fc.constantFrom("shops", "offices");
const anyState = fc.constantFrom(TargetState.APPLIED, TargetState.WORKING, TargetState.FAILED);
const anyTime = fc.integer({ min: 0, max: 20 }).map((step) => SAMPLE_TIME_MS + step * 250);
const anyReport = fc.record({ deviceId: anyDeviceId, deviceGroup: anyGroup, state: anyState, receivedMs: anyTime });

/** What every report store promises. `open` answers an empty one. */
export function describeReportStore(name: string, open: () => Promise<ReportStore>): void {
  describe(`report store ${name} status rows`, () => {
    it("knows no device at first", async () => {
      await using store = await open();
      assert.equal((await store.statuses(["device-1"])).size, 0);
      assert.equal((await store.statuses([])).size, 0);
      assert.equal(await store.getDevice("device-1"), undefined);
      assert.deepEqual(await store.listDevices({}, { limit: 10 }), { items: [], next: undefined });
      assert.equal(await store.deleteDevice("device-1"), false);
    });

    it("answers rows as they were written", async () => {
      await using store = await open();
      const rows = ["device-1", "device-2"].map((deviceId) => statusRow(sampleReport({ deviceId }), BigInt(SAMPLE_TIME_MS) * 1000n + 7n));
      await store.save({ reports: [], statuses: rows });
      const read = await store.statuses(["device-2", "device-1", "device-3"]);
      assert.deepEqual([...read.keys()].sort(), ["device-1", "device-2"]);
      for (const row of rows) {
        const { device, writtenAt } = read.get(row.device.deviceId) ?? assert.fail("the row is missing");
        assert.ok(equals(DeviceSchema, device, row.device));
        assert.equal(writtenAt, row.writtenAt);
        assert.ok(equals(DeviceSchema, (await store.getDevice(row.device.deviceId)) ?? assert.fail("the device is missing"), row.device));
      }
    });

    it("lets a write with an older version change nothing", async () => {
      await using store = await open();
      await store.save({ reports: [], statuses: [statusRow(sampleReport({ seq: 2n }), 20n)] });
      await store.save({ reports: [], statuses: [statusRow(sampleReport({ seq: 1n }), 10n)] });
      assert.equal((await store.getDevice("device-1"))?.report?.seq, 2n);
      await store.save({ reports: [], statuses: [statusRow(sampleReport({ seq: 3n }), 21n)] });
      assert.equal((await store.getDevice("device-1"))?.report?.seq, 3n);
    });

    it("holds a device once when it comes under another group", async () => {
      await using store = await open();
      await store.save({ reports: [], statuses: [statusRow(sampleReport(), 1n)] });
      await store.save({ reports: [], statuses: [statusRow(sampleReport({ deviceGroup: "offices" }), 2n)] });
      assert.deepEqual((await store.listDevices({ deviceGroup: "shops" }, { limit: 10 })).items, []);
      assert.equal((await store.listDevices({}, { limit: 10 })).items.length, 1);
      assert.equal((await store.getDevice("device-1"))?.deviceGroup, "offices");
    });

    it("forgets a device, which comes back with its next status", async () => {
      await using store = await open();
      await store.save({ reports: [stored(1, sampleReport())], statuses: [statusRow(sampleReport(), 5n)] });
      assert.equal(await store.deleteDevice("device-1"), true);
      assert.equal(await store.getDevice("device-1"), undefined);
      assert.deepEqual((await store.listDevices({}, { limit: 10 })).items, []);
      assert.equal(await store.deleteDevice("device-1"), false);
      assert.equal((await store.listReports({}, { limit: 10 })).items.length, 1);
      await store.save({ reports: [], statuses: [statusRow(sampleReport({ seq: 2n }), 6n)] });
      assert.equal((await store.getDevice("device-1"))?.report?.seq, 2n);
    });

    it("counts the devices of a group that have no token of their own, as far as it is asked to", async () => {
      await using store = await open();
      const row = (number: number, deviceGroup: string, withoutToken: boolean, writtenAt = 1n) => ({
        ...statusRow(sampleReport({ deviceId: `device-${number}`, deviceGroup }), writtenAt),
        withoutToken,
      });
      const rows = [row(1, "shops", true), row(2, "shops", true), row(3, "shops", false), row(4, "offices", true)];
      await store.save({ reports: [], statuses: [...rows, statusRow(sampleReport({ deviceId: "device-5" }))] });
      assert.deepEqual([await store.countWithoutToken("shops", 10), await store.countWithoutToken("shops", 1)], [2, 1]);
      assert.deepEqual([await store.countWithoutToken("offices", 10), await store.countWithoutToken("none", 10)], [1, 0]);
      assert.deepEqual(await store.groupsWithoutToken({ after: "", limit: 10 }), ["offices", "shops"]);
      assert.deepEqual(await store.groupsWithoutToken({ after: "", limit: 1 }), ["offices"]);
      assert.deepEqual(await store.groupsWithoutToken({ after: "offices", limit: 10 }), ["shops"]);
      const read = await store.statuses(["device-1", "device-3"]);
      assert.deepEqual(
        [...read.values()].map(({ withoutToken }) => withoutToken ?? false),
        [true, false],
      );
      await store.save({ reports: [], statuses: [row(1, "shops", false, 2n), row(2, "offices", true, 2n)] });
      assert.deepEqual([await store.countWithoutToken("shops", 10), await store.countWithoutToken("offices", 10)], [0, 2]);
      assert.deepEqual(await store.groupsWithoutToken({ after: "", limit: 10 }), ["offices"]);
    });

    it("lists devices by group and id, with each filter, in pages of any size, each once", async () => {
      const anyDevice = fc.record({ number: fc.integer({ min: 0, max: 30 }), deviceGroup: anyGroup, state: anyState });
      const anyFilter = fc.record({ deviceGroup: optional(anyGroup), state: optional(anyState) });
      await fc.assert(
        fc.asyncProperty(
          fc.uniqueArray(anyDevice, { selector: (device) => device.number }),
          anyFilter,
          fc.integer({ min: 1, max: 7 }),
          async (devices, filter, limit) => {
            await using store = await open();
            const rows = devices.map(({ number, ...fields }) => statusRow(sampleReport({ ...fields, deviceId: `device-${number}` })));
            await store.save({ reports: [], statuses: rows });
            const read = await readAll((page) => store.listDevices(given<DeviceFilter>(filter), page), limit);
            const expected = rows
              .map((row) => row.device)
              .filter((device) => matches(device.report, given<ReportFilter>(filter)))
              .sort((a, b) => compare(a.deviceGroup, b.deviceGroup) || compare(a.deviceId, b.deviceId));
            assert.deepEqual(read.map(place), expected.map(place));
          },
        ),
        { numRuns: 25 },
      );
    });
  });

  describe(`report store ${name} history`, () => {
    it("answers reports as they were inserted, oldest first", async () => {
      await using store = await open();
      const reports = [3, 1, 2].map((number) => stored(number, sampleReport({ seq: BigInt(number), receivedMs: SAMPLE_TIME_MS + number * 1000 })));
      await store.save({ reports, statuses: [] });
      const { items, next } = await store.listReports({}, { limit: 10 });
      assert.deepEqual(
        items.map((item) => item.report?.seq),
        [1n, 2n, 3n],
      );
      assert.equal(next, undefined);
      for (const item of items) {
        assert.ok(reports.some((report) => equals(StoredReportSchema, report, item)));
      }
    });

    it("holds a report that is inserted again once, as it was first", async () => {
      await using store = await open();
      await store.save({ reports: [stored(1, sampleReport())], statuses: [] });
      await store.save({ reports: [stored(1, sampleReport()), stored(1, sampleReport()), stored(2, sampleReport({ seq: 2n }))], statuses: [] });
      assert.equal((await store.listReports({}, { limit: 10 })).items.length, 2);
    });

    it("inserts no report of a device that has its bytes in the history, keeps its status up to date, and others' reports", async () => {
      await using store = await open();
      const originalJson = "x".repeat(1024 * 1024);
      const most = HISTORY_BYTES_PER_DEVICE / originalJson.length;
      const of = (deviceId: string, number: number) => {
        const report = sampleReport({ deviceId, seq: BigInt(number), receivedMs: SAMPLE_TIME_MS + number });
        return create(StoredReportSchema, { id: `${deviceId.at(-1)}${number}`.padStart(24, "0"), report, originalJson });
      };
      const flood = Array.from({ length: most + 3 }, (_, index) => of("device-1", index + 1));
      let leftOut = 0;
      for (const report of flood) leftOut += (await store.save({ reports: [report], statuses: [] })).leftOut;
      assert.deepEqual((await store.save({ reports: flood.slice(-2), statuses: [] })).leftOut, 2);
      assert.equal(leftOut, 3);
      const last = sampleReport({ seq: 99n });
      assert.deepEqual(await store.save({ reports: [of("device-2", 1)], statuses: [statusRow(last, 2n)] }), { leftOut: 0 });
      assert.equal((await store.getDevice("device-1"))?.report?.seq, 99n);
      const kept = (deviceId: string) => readAll((page) => store.listReports({ deviceId }, page), 10);
      assert.equal((await kept("device-1")).length, most);
      assert.equal((await kept("device-2")).length, 1);
    });

    it("answers what a worker of the original sent, and whether something was changed", async () => {
      await using store = await open();
      const given = create(StoredReportSchema, { id: "a".repeat(24), report: sampleReport(), originalJson: '{"hostname":"pos-1"}', updated: true });
      await store.save({ reports: [given], statuses: [] });
      const [read] = (await store.listReports({}, { limit: 1 })).items;
      assert.ok(read && equals(StoredReportSchema, read, given));
    });

    it("goes on after a report by its id, also one of the same millisecond, with a filter, and one that has expired", async () => {
      await using store = await open();
      const second = Math.floor(SAMPLE_TIME_MS / 1000).toString(16);
      const at = (number: number, change: object = {}) => {
        const report = sampleReport({ seq: BigInt(number), receivedMs: SAMPLE_TIME_MS, ...change });
        return create(StoredReportSchema, { id: `${second}${(99 - number).toString().padStart(16, "0")}`, report });
      };
      const [first, another, third, fourth] = [at(1), at(2, { deviceId: "device-2" }), at(3), at(4)] as const;
      await store.save({ reports: [first, another, third, fourth], statuses: [] });
      const seqs = async (filter: ReportFilter, page: PageRequest = { limit: 10 }) =>
        (await store.listReports(filter, page)).items.map((item) => item.report?.seq);
      assert.deepEqual(await seqs({ afterId: first.id }), [2n, 3n, 4n]);
      assert.deepEqual(await seqs({ afterId: another.id, deviceId: "device-1" }), [3n, 4n]);
      assert.deepEqual(await seqs({ afterId: fourth.id }), []);
      const { next } = await store.listReports({ afterId: first.id }, { limit: 2 });
      assert.deepEqual(await seqs({ afterId: first.id }, { limit: 2, after: next ?? assert.fail("there is a second page") }), [4n]);
      assert.deepEqual(await seqs({ afterId: `${second}${"f".repeat(16)}` }), [1n, 2n, 3n, 4n]);
      assert.deepEqual(await seqs({ afterId: `ffffffff${"f".repeat(16)}` }), []);
    });

    it("lists by received_at, with each filter, in pages of any size, each once", async () => {
      const anyFilter = fc.record({
        deviceId: optional(anyDeviceId),
        deviceGroup: optional(anyGroup),
        receivedFromMs: optional(anyTime),
        receivedUntilMs: optional(anyTime),
        state: optional(anyState),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(anyReport, { maxLength: 40 }), anyFilter, fc.integer({ min: 1, max: 9 }), async (fields, anyOfIt, limit) => {
          await using store = await open();
          const filter = given<ReportFilter>(anyOfIt);
          const all = fields.map((each, index) => stored(index, sampleReport({ ...each, seq: BigInt(index + 1) })));
          await store.save({ reports: all, statuses: [] });
          const read = await readAll((page) => store.listReports(filter, page), limit);
          const times = read.map((item) => item.report?.receivedAt).map((time) => Number(time?.seconds) * 1000 + Number(time?.nanos) / 1_000_000);
          assert.deepEqual(
            times,
            times.toSorted((a, b) => a - b),
          );
          const expected = all.filter((item) => matches(item.report, filter)).map((item) => item.id);
          assert.deepEqual(read.map((item) => item.id).sort(), expected.sort());
        }),
        { numRuns: 50 },
      );
    });

    it("goes on after the last page's end when later reports came in between", async () => {
      await using store = await open();
      const at = (number: number) => stored(number, sampleReport({ seq: BigInt(number), receivedMs: SAMPLE_TIME_MS + number }));
      await store.save({ reports: [at(1), at(2), at(3)], statuses: [] });
      const first = await store.listReports({}, { limit: 2 });
      await store.save({ reports: [at(4)], statuses: [] });
      const second = await store.listReports({}, { limit: 2, after: first.next ?? assert.fail("there is a second page") });
      assert.deepEqual(
        second.items.map((item) => item.report?.seq),
        [3n, 4n],
      );
    });

    it("keeps a page of large reports below what a gRPC client takes, and leaves none out", async () => {
      await using store = await open();
      const reason = "x".repeat(900_000);
      const reports = Array.from({ length: 10 }, (_, index) =>
        stored(index, sampleReport({ seq: BigInt(index + 1), apps: [{ name: "web", reason }] })),
      );
      await store.save({ reports, statuses: [] });
      const { items } = await store.listReports({}, { limit: 10 });
      assert.ok(items.length * reason.length < 4_000_000, `${items.length} of them in a page`);
      assert.equal((await readAll((page) => store.listReports({}, page), 10)).length, 10);
    });

    it("refuses a page token that it did not make, by its name", async () => {
      await using store = await open();
      const reports = [1, 2].map((number) => stored(number, sampleReport({ seq: BigInt(number) })));
      await store.save({ reports, statuses: [statusRow(sampleReport()), statusRow(sampleReport({ deviceId: "device-2" }))] });
      const ofReports = (await store.listReports({}, { limit: 1 })).next ?? assert.fail("there is a second page");
      const ofDevices = (await store.listDevices({}, { limit: 1 })).next ?? assert.fail("there is a second page");
      const isRefusal = (error: unknown) => isNebulaError(error, "invalid_argument") && error.violations[0]?.field === "page_token";
      for (const bad of ["x", "?", "bnVsbA", `${ofReports}=`, "A".repeat(100_000)]) {
        await assert.rejects(store.listReports({}, { limit: 1, after: bad }), isRefusal, bad);
        await assert.rejects(store.listDevices({}, { limit: 1, after: bad }), isRefusal, bad);
      }
      await assert.rejects(store.listReports({}, { limit: 1, after: ofDevices }), isRefusal);
      await assert.rejects(store.listDevices({}, { limit: 1, after: ofReports }), isRefusal);
    });
  });
}

/** What every report store without a TTL of its own promises besides. */
export function describeReportExpiry(name: string, open: () => Promise<ReportStore>): void {
  describe(`report store ${name} expiry`, () => {
    it("removes what was received before a time, and nothing else", async () => {
      await using store = await open();
      const reports = [1, 2, 3].map((number) => stored(number, sampleReport({ seq: BigInt(number), receivedMs: SAMPLE_TIME_MS + number })));
      await store.save({ reports, statuses: [statusRow(sampleReport())] });
      assert.equal(await store.expire(SAMPLE_TIME_MS + 3), 2);
      assert.equal(await store.expire(SAMPLE_TIME_MS + 3), 0);
      assert.deepEqual(
        (await store.listReports({}, { limit: 10 })).items.map((item) => item.report?.seq),
        [3n],
      );
      assert.ok(await store.getDevice("device-1"));
    });

    it("makes room for a device's reports by what it removes", async () => {
      await using store = await open();
      const originalJson = "x".repeat(HISTORY_BYTES_PER_DEVICE);
      const at = (number: number) => {
        const report = sampleReport({ seq: BigInt(number), receivedMs: SAMPLE_TIME_MS + number });
        return create(StoredReportSchema, { id: String(number).padStart(24, "0"), report, originalJson: number === 1 ? originalJson : "" });
      };
      await store.save({ reports: [at(1)], statuses: [] });
      assert.deepEqual(await store.save({ reports: [at(2)], statuses: [] }), { leftOut: 1 });
      assert.equal(await store.expire(SAMPLE_TIME_MS + 2), 1);
      assert.deepEqual(await store.save({ reports: [at(3)], statuses: [] }), { leftOut: 0 });
      assert.equal((await store.listReports({}, { limit: 10 })).items.length, 1);
    });

    it("removes the status of devices without a token of their own that was written before a time, and of no others", async () => {
      await using store = await open();
      const row = (deviceId: string, writtenMs: number, withoutToken: boolean) => ({
        ...statusRow(sampleReport({ deviceId }), BigInt(writtenMs) * 1000n),
        withoutToken,
      });
      const total = 1000;
      const old = Array.from({ length: total }, (_, index) => row(`old-${index}`, SAMPLE_TIME_MS, true));
      const rows = [...old, row("old-with-token", SAMPLE_TIME_MS, false), row("new", SAMPLE_TIME_MS + 1000, true)];
      await store.save({ reports: [], statuses: rows });
      const counts: number[] = [];
      for (let removed = -1; removed !== 0; counts.push(removed)) removed = await store.expireDevices(SAMPLE_TIME_MS + 1000);
      assert.ok(Math.max(...counts) < total, `${Math.max(...counts)} in one call`);
      assert.deepEqual(
        (await store.listDevices({}, { limit: 10 })).items.map(({ deviceId }) => deviceId),
        ["new", "old-with-token"],
      );
    });

    it("removes a bounded number per call, and in the end all", async () => {
      await using store = await open();
      const total = 5000;
      const reports = Array.from({ length: total }, (_, index) => stored(index, sampleReport({ seq: BigInt(index + 1) })));
      await store.save({ reports, statuses: [] });
      const counts: number[] = [];
      for (let removed = -1; removed !== 0; counts.push(removed)) removed = await store.expire(SAMPLE_TIME_MS + 1);
      assert.ok(Math.max(...counts) < total, `${Math.max(...counts)} in one call`);
      assert.equal(
        counts.reduce((sum, count) => sum + count, 0),
        total,
      );
    });
  });
}

/** Order of strings by their bytes, as stores have it. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function place(device: Device): string {
  return `${device.deviceGroup}/${device.deviceId}`;
}
