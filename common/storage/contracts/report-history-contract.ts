import { strict as assert } from "node:assert";
import { equals } from "@bufbuild/protobuf";
import fc from "fast-check";
import { type Report, StoredReportSchema, TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import { readAll } from "../../testing/read-all.ts";
import { SAMPLE_TIME_MS, sampleReport } from "../../testing/sample-report.ts";
import { saveReports, statusRow, storedReport } from "../../testing/save-reports.ts";
import type { PageRequest } from "../page.ts";
import { receivedMs, reportId } from "../report-id.ts";
import { HISTORY_BYTES_PER_DEVICE, type ReportFilter, type ReportStore } from "../report-store.ts";
import { freshNames, openedOnce } from "./report-store-contract.ts";

/** The contract of the history of a ReportStore. Its clock says SAMPLE_TIME_MS + 2 hours; a report is kept for 26 hours. @param runs of each property */
export function describeReportHistory(name: string, open: () => Promise<ReportStore>, { runs = 50 } = {}): void {
  describe(`report store ${name} history`, () => {
    const opened = openedOnce(open);

    it("the history answers reports as they were inserted, oldest first", async () => {
      const [store, { device }] = [opened(), freshNames()];
      const reports = [3, 1, 2].map((number) =>
        storedReport(sampleReport({ deviceId: device(1), seq: BigInt(number), receivedMs: SAMPLE_TIME_MS + number * 1000 })),
      );
      await saveReports(store, { reports });
      const items = await readAll((page) => store.listReports({ deviceId: device(1) }, page), 10);
      assert.deepEqual(
        items.map((item) => item.report?.seq),
        [1n, 2n, 3n],
      );
      for (const item of items) {
        assert.ok(reports.some((report) => equals(StoredReportSchema, report, item)));
      }
    });

    it("the history answers reports of workers of the original, and whether something was changed", async () => {
      const [store, { device }] = [opened(), freshNames()];
      const report = sampleReport({ deviceId: device(1) });
      const given = storedReport(report, { originalJson: '{"hostname":"pos-1"}', updated: true });
      await saveReports(store, { reports: [given] });
      const [read] = (await store.listReports({ deviceId: device(1) }, { limit: 1 })).items;
      assert.ok(read && equals(StoredReportSchema, read, given));
    });

    it("the history holds a report that is inserted again once, in each of its lists", async () => {
      const [store, { device, group }] = [opened(), freshNames()];
      const at = (seq: bigint) => storedReport(sampleReport({ deviceId: device(1), deviceGroup: group("shops"), seq }));
      await saveReports(store, { reports: [at(1n)] });
      await saveReports(store, { reports: [at(1n), at(1n), at(2n)] });
      for (const filter of [{ deviceId: device(1) }, { deviceGroup: group("shops") }, { deviceGroup: group("shops"), state: TargetState.APPLIED }]) {
        assert.equal((await readAll((page) => store.listReports(filter, page), 10)).length, 2, JSON.stringify(filter));
      }
      const ids = new Set([at(1n).id, at(2n).id]);
      assert.equal((await readAll((page) => store.listReports({}, page), 1000)).filter(({ id }) => ids.has(id)).length, 2);
    });

    it("the history inserts no report of a device that has its bytes in it, keeps its status up to date, and inserts others' reports", async () => {
      const [store, { device }] = [opened(), freshNames()];
      const originalJson = "x".repeat(1024 * 1024);
      const most = HISTORY_BYTES_PER_DEVICE / originalJson.length;
      const of = (number: number, seq: number) =>
        storedReport(sampleReport({ deviceId: device(number), seq: BigInt(seq), receivedMs: SAMPLE_TIME_MS + seq }), { originalJson });
      const flood = Array.from({ length: most + 3 }, (_, index) => of(1, index + 1));
      let leftOut = 0;
      for (const report of flood) leftOut += (await saveReports(store, { reports: [report] })).leftOut;
      assert.equal((await saveReports(store, { reports: flood.slice(-2) })).leftOut, 2);
      assert.equal(leftOut, 3);
      const { writtenAt } = (await store.statuses([device(1)])).get(device(1)) ?? assert.fail("the row is missing");
      const last = statusRow(sampleReport({ deviceId: device(1), seq: 99n }), writtenAt + 1n);
      assert.deepEqual(await saveReports(store, { reports: [of(2, 1)], statuses: [last] }), { leftOut: 0 });
      assert.equal((await store.getDevice(device(1)))?.report?.seq, 99n);
      const kept = (number: number) => readAll((page) => store.listReports({ deviceId: device(number) }, page), 10);
      assert.equal((await kept(1)).length, most);
      assert.equal((await kept(2)).length, 1);
    });

    it("a list resumes after an id, also within a millisecond, with a filter, and after the id of a report that never was", async () => {
      const [store, { device, group }] = [opened(), freshNames()];
      const at = (seq: bigint, number = 1, offsetMs = 0) =>
        sampleReport({ deviceId: device(number), deviceGroup: group("shops"), seq, receivedMs: SAMPLE_TIME_MS + 500 + offsetMs });
      const reports = [at(1n), at(2n, 2), at(3n), at(4n), at(5n, 1, 1)];
      await saveReports(store, { reports: reports.map((report) => storedReport(report)) });
      const byId = reports.toSorted((a, b) => (reportId(a) < reportId(b) ? -1 : 1));
      const list = async (filter: ReportFilter, page: PageRequest = { limit: 10 }) =>
        (await readAll((next) => store.listReports({ deviceGroup: group("shops"), ...filter }, { ...page, ...next }), 10)).map(({ id }) => id);
      const ids = byId.map(reportId);
      for (const [index, afterId] of ids.entries()) {
        assert.deepEqual(await list({ afterId }), ids.slice(index + 1));
        const ofDevice = byId.slice(index + 1).filter(({ deviceId }) => deviceId === device(1));
        assert.deepEqual(await list({ afterId, deviceId: device(1) }), ofDevice.map(reportId));
      }
      const [first = ""] = ids;
      const { items, next } = await store.listReports({ deviceGroup: group("shops"), afterId: first }, { limit: 2 });
      assert.deepEqual(
        items.map(({ id }) => id),
        ids.slice(1, 3),
      );
      assert.equal(next, ids[2]);
      assert.deepEqual(await list({ afterId: first }, { limit: 10, after: next ?? "" }), ids.slice(3));
      assert.deepEqual(await list({ afterId: `${first.slice(0, 12)}${"0".repeat(12)}` }), ids);
      assert.deepEqual(await list({ afterId: "f".repeat(24) }), []);
    });

    it("a list goes by received_at, with each filter, in pages of any size, each report once", async () => {
      const anyFilter = fc.record({
        number: optional(anyNumber),
        name: optional(anyGroup),
        receivedFromMs: optional(anyTime),
        receivedUntilMs: optional(anyTime),
        state: optional(anyState),
      });
      const anyReport = fc.record({ number: anyNumber, name: anyGroup, state: anyState, receivedMs: anyTime });
      const store = opened();
      await fc.assert(
        fc.asyncProperty(fc.array(anyReport, { maxLength: 40 }), anyFilter, fc.integer({ min: 1, max: 9 }), async (fields, any, limit) => {
          const { device, group } = freshNames();
          const { number, name, receivedFromMs, receivedUntilMs, state } = any;
          const filter = {
            ...(number !== undefined && { deviceId: device(number) }),
            ...(name !== undefined && { deviceGroup: group(name) }),
            ...(receivedFromMs !== undefined && { receivedFromMs }),
            ...(receivedUntilMs !== undefined && { receivedUntilMs }),
            ...(state !== undefined && { state }),
          };
          const all = fields.map(({ number: of, name: at, ...rest }, index) =>
            sampleReport({ ...rest, deviceId: device(of), deviceGroup: group(at), seq: BigInt(index + 1) }),
          );
          await saveReports(store, { reports: all.map((report) => storedReport(report)) });
          // a list without names holds the reports of the other runs, too
          const isNamed = number !== undefined || name !== undefined;
          const read = await readAll((page) => store.listReports(filter, page), isNamed ? limit : limit * 100);
          const own = new Set(all.map(reportId));
          const expected = all.filter((report) => matches(report, filter)).map(reportId);
          assert.deepEqual(
            read.map(({ id }) => id).filter((id) => own.has(id)),
            expected.sort(),
          );
          const ids = read.map(({ id }) => id);
          assert.deepEqual(ids, ids.toSorted());
        }),
        { numRuns: runs },
      );
    });

    it("a list resumes after the last page's end when later reports came in between", async () => {
      const [store, { device }] = [opened(), freshNames()];
      const at = (number: number) => storedReport(sampleReport({ deviceId: device(1), seq: BigInt(number), receivedMs: SAMPLE_TIME_MS + number }));
      await saveReports(store, { reports: [at(1), at(2), at(3)] });
      const first = await store.listReports({ deviceId: device(1) }, { limit: 2 });
      await saveReports(store, { reports: [at(4)] });
      const second = await readAll((page) => store.listReports({ deviceId: device(1) }, { after: first.next ?? assert.fail(), ...page }), 2);
      assert.deepEqual(
        second.map((item) => item.report?.seq),
        [3n, 4n],
      );
    });

    it("a page of large reports stays below the size that a gRPC client takes, and leaves none out", async () => {
      const [store, { device, group }] = [opened(), freshNames()];
      const reason = "x".repeat(900_000);
      const reports = Array.from({ length: 10 }, (_, index) =>
        storedReport(sampleReport({ deviceId: device(1), deviceGroup: group("shops"), seq: BigInt(index + 1), apps: [{ name: "web", reason }] })),
      );
      await saveReports(store, { reports });
      for (const filter of [{ deviceId: device(1) }, { deviceGroup: group("shops") }]) {
        const { items } = await store.listReports(filter, { limit: 10 });
        assert.ok(items.length * reason.length < 4_000_000, `${items.length} of them in a page`);
        assert.equal((await readAll((page) => store.listReports(filter, page), 10)).length, 10);
      }
    });
  });
}

/** The contract of a ReportStore without a TTL of its own. `open` returns an empty one. */
export function describeReportExpiry(name: string, open: () => Promise<ReportStore>): void {
  describe(`report store ${name} expiry`, () => {
    it("expiry removes reports received, and markers written, before a time, and nothing else", async () => {
      await using store = await open();
      const reports = [1, 2, 3].map((number) => storedReport(sampleReport({ seq: BigInt(number), receivedMs: SAMPLE_TIME_MS + number })));
      const marked = [1, 2].map((number) =>
        statusRow(sampleReport({ deviceId: `deleted-${number}` }), BigInt(SAMPLE_TIME_MS + 2 * number) * 1000n - 1n),
      );
      await saveReports(store, { reports, statuses: [statusRow(sampleReport()), ...marked] });
      for (const { device } of marked) await store.deleteDevice(device.deviceId);
      assert.equal(await store.expire(SAMPLE_TIME_MS + 3), 3);
      assert.equal(await store.expire(SAMPLE_TIME_MS + 3), 0);
      assert.deepEqual(
        (await store.listReports({}, { limit: 10 })).items.map((item) => item.report?.seq),
        [3n],
      );
      assert.deepEqual([...(await store.statuses(["device-1", "deleted-1", "deleted-2"])).keys()], ["device-1", "deleted-2"]);
    });

    it("expiry of a device's reports makes room for new ones", async () => {
      await using store = await open();
      const originalJson = "x".repeat(HISTORY_BYTES_PER_DEVICE);
      const at = (number: number) => {
        const report = sampleReport({ seq: BigInt(number), receivedMs: SAMPLE_TIME_MS + number });
        return storedReport(report, { originalJson: number === 1 ? originalJson : "" });
      };
      await saveReports(store, { reports: [at(1)] });
      assert.deepEqual(await saveReports(store, { reports: [at(2)] }), { leftOut: 1 });
      assert.equal(await store.expire(SAMPLE_TIME_MS + 2), 1);
      assert.deepEqual(await saveReports(store, { reports: [at(3)] }), { leftOut: 0 });
      assert.equal((await store.listReports({}, { limit: 10 })).items.length, 1);
    });

    it("expiry removes the status of devices without a token of their own that was written before a time, and of no others", async () => {
      await using store = await open();
      const row = (deviceId: string, writtenMs: number, withoutToken: boolean) => ({
        ...statusRow(sampleReport({ deviceId }), BigInt(writtenMs) * 1000n),
        withoutToken,
      });
      const total = 1000;
      const old = Array.from({ length: total }, (_, index) => row(`old-${index}`, SAMPLE_TIME_MS, true));
      const rows = [...old, row("old-with-token", SAMPLE_TIME_MS, false), row("new", SAMPLE_TIME_MS + 1000, true)];
      await saveReports(store, { statuses: rows });
      const counts: number[] = [];
      for (let removed = -1; removed !== 0; counts.push(removed)) removed = await store.expireDevices(SAMPLE_TIME_MS + 1000);
      assert.ok(Math.max(...counts) < total, `${Math.max(...counts)} in one call`);
      assert.deepEqual(
        (await store.listDevices({}, { limit: 10 })).items.map(({ deviceId }) => deviceId),
        ["new", "old-with-token"],
      );
    });

    it("expiry removes a bounded number per call, and in the end all", async () => {
      await using store = await open();
      const total = 5000;
      const reports = Array.from({ length: total }, (_, index) => storedReport(sampleReport({ seq: BigInt(index + 1) })));
      await saveReports(store, { reports });
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

function optional<T>(value: fc.Arbitrary<T>) {
  return fc.option(value, { nil: undefined });
}

const anyNumber = fc.integer({ min: 1, max: 3 });
const anyGroup = fc.constantFrom("shops", "offices");
const anyState = fc.constantFrom(TargetState.APPLIED, TargetState.WORKING, TargetState.FAILED);
/** Within two hours, so across the bounds of hours. */
const anyTime = fc.integer({ min: 0, max: 19 }).map((step) => SAMPLE_TIME_MS + step * 360_250);

function matches(report: Report, filter: ReportFilter): boolean {
  const received = receivedMs(report.receivedAt);
  return (
    (filter.deviceId === undefined || report.deviceId === filter.deviceId) &&
    (filter.deviceGroup === undefined || report.deviceGroup === filter.deviceGroup) &&
    (filter.state === undefined || report.state === filter.state) &&
    received >= (filter.receivedFromMs ?? 0) &&
    received < (filter.receivedUntilMs ?? Number.MAX_SAFE_INTEGER)
  );
}
