import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { mkdtempDisposable } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { equals, toBinary } from "@bufbuild/protobuf";
import { DeviceSchema, DeviceSummarySchema } from "../../../../gen/nebula/v1/device_pb.ts";
import { ReportSchema, TargetState } from "../../../../gen/nebula/v1/report_pb.ts";
import { isNebulaError } from "../../../errors/nebula-error.ts";
import { readAll } from "../../../testing/read-all.ts";
import { SAMPLE_TIME_MS, sampleReport } from "../../../testing/sample-report.ts";
import { saveReports, statusRow, storedReport } from "../../../testing/save-reports.ts";
import { describePresenceExpiry, describePresenceStore } from "../../contracts/presence-contract.ts";
import { describeReportExpiry, describeReportHistory } from "../../contracts/report-history-contract.ts";
import { describeReportStore } from "../../contracts/report-store-contract.ts";
import { summaryOf } from "../../device-summary.ts";
import { PRESENCE_KEPT_MS } from "../../presence-store.ts";
import { firstReportIdAt, receivedMs, reportIdMs } from "../../report-id.ts";
import { type DeviceChange, type DeviceFilter, HISTORY_BYTES_PER_DEVICE, type ReportFilter, type ReportStore } from "../../report-store.ts";
import { openSqliteAccessStore } from "../access/access-store.ts";
import { openDatabase } from "../open-database.ts";
import { deviceListQuery, type Query, reportListQuery } from "./report-queries.ts";
import { HISTORY_BYTES, REPORT_MIGRATIONS } from "./report-schema.ts";
import { openSqliteReportStore } from "./report-store.ts";

const openInMemory = () => openSqliteReportStore({ path: ":memory:" });
describeReportStore("sqlite:", openInMemory);
describeReportHistory("sqlite:", openInMemory);
describeReportExpiry("sqlite:", openInMemory);
describePresenceStore("sqlite:", openInMemory);
describePresenceExpiry("sqlite:", openInMemory);

describe("sqlite report store", () => {
  it("the sqlite report store holds the saved rows after it is opened again", async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), "nebula-reports-"));
    const path = join(folder.path, "reports.db");
    {
      await using store = await openSqliteReportStore({ path });
      await saveReports(store, { reports: [storedReport(sampleReport())] });
    }
    await using again = await openSqliteReportStore({ path });
    assert.equal((await again.listReports({}, { limit: 1 })).items.length, 1);
  });

  it("rows of a store of an earlier version expire where their devices have no token, and no others", async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), "nebula-reports-"));
    const [path, accessPath] = [join(folder.path, "reports.db"), join(folder.path, "access.db")];
    const earlier = openDatabase(path, REPORT_MIGRATIONS.slice(0, 2));
    const insert = earlier.prepare("INSERT INTO devices (device_id, device_group, state, written_at, body) VALUES (?, 'shops', 1, ?, x'')");
    for (const deviceId of ["old", "enrolled", "recent"]) insert.run(deviceId, (SAMPLE_TIME_MS + (deviceId === "recent" ? 5000 : 0)) * 1000);
    earlier.close();
    {
      await using unknown = await openSqliteReportStore({ path });
      assert.equal(await unknown.expireDevices(SAMPLE_TIME_MS + 1000), 0, "who has a token is not known");
    }
    {
      await using access = await openSqliteAccessStore({ path: accessPath });
      const times = { createdAt: SAMPLE_TIME_MS, expiresAt: SAMPLE_TIME_MS + 60_000 };
      await access.createEnrolment({ id: "e", tokenHash: "1".repeat(64), deviceGroup: "shops", usesLeft: 1, createdBy: "ann", ...times });
      const device = { deviceId: "enrolled", tokenHash: "2".repeat(64), enrolmentHash: "1".repeat(64), nowMs: SAMPLE_TIME_MS };
      assert.equal((await access.enrol(device)).kind, "enrolled");
      await using store = await openSqliteReportStore({ path, accessPath });
      assert.equal(await store.expireDevices(SAMPLE_TIME_MS + 1000), 1);
      const left = await Promise.all(["old", "enrolled", "recent"].map((deviceId) => store.getDevice(deviceId)));
      assert.deepEqual(
        left.map((device) => device !== undefined),
        [false, true, true],
      );
      assert.equal(await store.expireDevices(SAMPLE_TIME_MS + 6000), 1);
    }
  });

  it("devices of a store of an earlier version have their summaries once it is opened", async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), "nebula-reports-"));
    const path = join(folder.path, "reports.db");
    const earlier = openDatabase(path, REPORT_MIGRATIONS.slice(0, 5));
    const insert = earlier.prepare("INSERT INTO devices (device_id, device_group, state, written_at, body) VALUES (?, 'shops', 1, ?, ?)");
    const rows = Array.from({ length: 1200 }, (_, index) => statusRow(sampleReport({ deviceId: `device-${1000 + index}` }), BigInt(index + 1)));
    for (const { device, writtenAt } of rows) insert.run(device.deviceId, writtenAt, toBinary(DeviceSchema, device));
    earlier.close();
    await using store = await openSqliteReportStore({ path });
    const listed = await readAll((page) => store.listSummaries("shops", page), 500);
    assert.equal(listed.length, rows.length);
    for (const [index, row] of rows.entries()) {
      assert.ok(equals(DeviceSummarySchema, listed[index] ?? assert.fail(), summaryOf(row) ?? assert.fail()));
    }
  });

  it("a page of large summaries ends early, and the pages have each of them once", async () => {
    await using store = await openInMemory();
    const apps = Array.from({ length: 200 }, (_, index) => ({ name: `${"a".repeat(100)}-${index}`, revision: 3n }));
    const ids = Array.from({ length: 300 }, (_, index) => `device-${1000 + index}`);
    await saveReports(store, { statuses: ids.map((deviceId) => statusRow(sampleReport({ deviceId, apps }))) });
    const first = await store.listSummaries("shops", { limit: 1000 });
    assert.ok(first.items.length > 0 && first.items.length < ids.length && first.next !== undefined, `${first.items.length}`);
    const listed = await readAll((page) => store.listSummaries("shops", page), 1000);
    assert.deepEqual(
      listed.map(({ deviceId, targets }) => [deviceId, targets.length]),
      ids.map((deviceId) => [deviceId, apps.length]),
    );
  });

  it("summaries of devices that expire are removed with them", async () => {
    await using store = await openInMemory();
    const rows = [1, 2].map((number) => ({ ...statusRow(sampleReport({ deviceId: `device-${number}` }), 5000n), withoutToken: number === 1 }));
    await saveReports(store, { statuses: rows });
    assert.equal(await store.expireDevices(6), 1);
    assert.deepEqual(
      (await store.listSummaries("shops", { limit: 10 })).items.map(({ deviceId }) => deviceId),
      ["device-2"],
    );
  });

  it("old presence is removed wherever it is among many rows, a part of the rows per call, and again from the start", async () => {
    await using store = await openInMemory();
    const nowMs = SAMPLE_TIME_MS + PRESENCE_KEPT_MS + 1000;
    const isOld = (number: number) => number % 1000 === 999;
    const row = (number: number) => ({ deviceGroup: "shops", deviceId: `d-${10_000 + number}`, shardBoot: "b", stream: 1, ended: true });
    for (let from = 0; from < 5000; from += 1000) {
      const numbers = Array.from({ length: 1000 }, (_, index) => from + index);
      await store.savePresence(numbers.map((number) => ({ ...row(number), atMs: isOld(number) ? SAMPLE_TIME_MS : nowMs })));
    }
    const removed: number[] = [];
    while (removed.length < 3) removed.push(await store.expirePresence(nowMs));
    assert.deepEqual(removed, [2, 2, 1]);
    await store.savePresence([{ ...row(0), stream: 2, atMs: SAMPLE_TIME_MS }]);
    assert.equal(await store.expirePresence(nowMs), 1);
    const left = await readAll((page) => store.listPresence("shops", page), 1000);
    assert.deepEqual([left.length, left.some(({ atMs }) => atMs < nowMs)], [4994, false]);
  });

  it("the mark of a group's presence stays while none of its rows is written, and is another one after each write, removal and expiry, also by others", async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), "nebula-reports-"));
    const path = join(folder.path, "reports.db");
    await using store = await openSqliteReportStore({ path });
    await using other = await openSqliteReportStore({ path });
    const marks = new Set<string>();
    const markOf = (deviceGroup: string) => store.presenceMark?.(deviceGroup) ?? assert.fail("no mark");
    const row = { deviceGroup: "shops", deviceId: "d", shardBoot: "b", stream: 1, ended: true, atMs: SAMPLE_TIME_MS };
    const changes: Record<string, () => Promise<unknown>> = {
      "as it was opened": async () => {},
      "a row": () => store.savePresence([row]),
      "a newer row": () => store.savePresence([{ ...row, stream: 2 }]),
      "a row that is removed": () => store.deletePresence([{ ...row, stream: 2 }]),
      "a row of another connection": () => other.savePresence([row]),
      "rows that expire": () => store.expirePresence(SAMPLE_TIME_MS + PRESENCE_KEPT_MS + 1000),
    };
    for (const [name, change] of Object.entries(changes)) {
      await change();
      assert.ok(!marks.has(markOf("shops")), name);
      marks.add(markOf("shops"));
      await store.savePresence([{ ...row, deviceGroup: "offices", stream: marks.size }]);
      await saveReports(store, { statuses: [statusRow(sampleReport(), BigInt(marks.size))] });
      await store.expirePresence(SAMPLE_TIME_MS);
      assert.ok(marks.has(markOf("shops")), `${name}: what another group wrote changed it`);
    }
  });

  it("the mark of a group's presence changes with its writes also where very many groups are written", async () => {
    await using store = await openInMemory();
    const row = { deviceGroup: "shops", deviceId: "d", shardBoot: "b", stream: 1, ended: false, atMs: SAMPLE_TIME_MS };
    await store.savePresence([row]);
    const marks = new Set([store.presenceMark?.("shops")]);
    for (let from = 0; from < 12_000; from += 1000)
      await store.savePresence(Array.from({ length: 1000 }, (_, index) => ({ ...row, deviceGroup: `g-${from + index}` })));
    await store.savePresence([{ ...row, stream: 2 }]);
    marks.add(store.presenceMark?.("shops"));
    assert.equal(marks.size, 2);
    assert.ok(!marks.has(undefined));
  });

  it("reports of a store of an earlier version are kept, in their order, under ids that begin with their time", async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), "nebula-reports-"));
    const path = join(folder.path, "reports.db");
    const earlier = openDatabase(path, REPORT_MIGRATIONS.slice(0, 3));
    const insert = earlier.prepare(
      "INSERT INTO reports (id, received_at, device_id, device_group, state, body, original, updated) VALUES (?, ?, ?, ?, ?, ?, '', 0)",
    );
    // ids of the earlier version: seconds and 8 bytes of a hash, which say nothing of the order within a second
    const reports = [7, 900, 30, 450, 450, 61_000].map((offsetMs, index) =>
      sampleReport({ seq: BigInt(index + 1), receivedMs: SAMPLE_TIME_MS + offsetMs }),
    );
    for (const report of reports) {
      const hash = createHash("sha256").update(String(report.seq)).digest("hex").slice(0, 16);
      const id = Math.floor(receivedMs(report.receivedAt) / 1000).toString(16) + hash;
      insert.run(id, receivedMs(report.receivedAt), report.deviceId, report.deviceGroup, report.state, toBinary(ReportSchema, report));
    }
    earlier.close();
    await using store = await openSqliteReportStore({ path });
    const read = await readAll((page) => store.listReports({ deviceGroup: "shops" }, page), 2);
    const times = read.map(({ id, report }) => [reportIdMs(id), receivedMs(report?.receivedAt)]);
    assert.deepEqual(
      times,
      [7, 30, 450, 450, 900, 61_000].map((offsetMs) => [SAMPLE_TIME_MS + offsetMs, SAMPLE_TIME_MS + offsetMs]),
    );
    assert.equal(new Set(read.map(({ report }) => report?.seq)).size, reports.length);
    await saveReports(store, { reports: [storedReport(sampleReport({ seq: 9n, receivedMs: SAMPLE_TIME_MS + 500 }))] });
    assert.equal((await readAll((page) => store.listReports({}, page), 3))[4]?.report?.seq, 9n);
    assert.equal(await store.expire(SAMPLE_TIME_MS + 460), 4);
  });

  it("the bytes of a history count each report once: one that is saved again or adopted, and none that expired or whose save failed", async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), "nebula-reports-"));
    const path = join(folder.path, "reports.db");
    const originalJson = "ü".repeat(HISTORY_BYTES_PER_DEVICE / 8); // four of them are the most
    const at = (seq: number) => storedReport(sampleReport({ seq: BigInt(seq), receivedMs: SAMPLE_TIME_MS + seq }), { originalJson });
    const leftOut = async (store: ReportStore, ...seqs: number[]) => (await saveReports(store, { reports: seqs.map(at) })).leftOut;
    {
      await using store = await openSqliteReportStore({ path });
      assert.equal(await leftOut(store, 1, 1, 2), 0);
      const adopted = { kind: "device", deviceId: "device-1", row: undefined, reports: [at(2), at(3)] } as const;
      for (let time = 0; time < 2; time++) await store.records.adopt(adopted);
      const empty = { ...at(5), report: undefined };
      const change = { before: undefined, row: statusRow(sampleReport()), reports: [at(4), empty] };
      await assert.rejects(store.save([change]), TypeError);
      assert.deepEqual([await leftOut(store, 3, 4), await leftOut(store, 5)], [0, 1]);
    }
    await using again = await openSqliteReportStore({ path });
    assert.equal(await leftOut(again, 5), 1);
    assert.equal(await again.expire(SAMPLE_TIME_MS + 2), 1);
    assert.deepEqual([await leftOut(again, 5), await leftOut(again, 6)], [0, 1]);
    const left = await readAll((page) => again.listReports({ deviceId: "device-1" }, page), 10);
    assert.deepEqual(
      left.map(({ report }) => Number(report?.seq)),
      [2, 3, 4, 5],
    );
  });

  it("the bytes of a history that is full when the store is opened are summed up once, not for each report that is left out", async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), "nebula-reports-"));
    const path = join(folder.path, "reports.db");
    const originalJson = "x".repeat(HISTORY_BYTES_PER_DEVICE);
    const at = (seq: number) => storedReport(sampleReport({ seq: BigInt(seq), receivedMs: SAMPLE_TIME_MS + seq }), { originalJson });
    {
      await using store = await openSqliteReportStore({ path });
      await saveReports(store, { reports: [at(1)] });
    }
    await using store = await openSqliteReportStore({ path });
    assert.equal((await saveReports(store, { reports: [at(2)] })).leftOut, 1);
    using other = new DatabaseSync(path);
    other.exec("DELETE FROM reports"); // would show in a second sum; no other process writes there otherwise
    assert.equal((await saveReports(store, { reports: [at(3)] })).leftOut, 1);
  });

  it("very many devices are saved and read in many turns of the event loop, each device as a whole", async () => {
    await using store = await openInMemory();
    const deviceIds = Array.from({ length: 3000 }, (_, index) => `device-${index}`);
    const reports = deviceIds.map((deviceId) => storedReport({ ...sampleReport(), deviceId }));
    const changes = reports.map((report): DeviceChange => ({ before: undefined, row: statusRow(report.report ?? assert.fail()), reports: [report] }));
    /** Whether the event loop turned before the work was done. */
    const turnsDuring = async (work: Promise<unknown>): Promise<boolean> => {
      let hasTurned = false;
      const turn = setImmediate(() => {
        hasTurned = true;
      });
      await work;
      clearImmediate(turn);
      return hasTurned;
    };
    assert.ok(await turnsDuring(store.save(changes)), "saved in one turn");
    const read = store.statuses(Array.from({ length: 10 }, () => deviceIds).flat());
    assert.ok(await turnsDuring(read), "read in one turn");
    assert.equal((await read).size, deviceIds.length);

    const gone = new AbortController();
    const cut = store.save(
      changes.map((change) => ({ ...change, row: { ...change.row, writtenAt: 2n } })),
      gone.signal,
    );
    gone.abort(new Error("gone"));
    await assert.rejects(cut, /gone/);
    const versions = [...(await store.statuses(deviceIds)).values()].map(({ writtenAt }) => writtenAt);
    const saved = versions.lastIndexOf(2n) + 1;
    assert.ok(saved > 0 && saved < deviceIds.length, `${saved} were saved before it was cut`);
    assert.deepEqual([...new Set(versions.slice(0, saved))], [2n]);
  });

  it("the sqlite report store is unavailable once it is closed", async () => {
    const store = await openInMemory();
    await store[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
    await assert.rejects(store.getDevice("device-1"), (error) => isNebulaError(error, "unavailable"));
    await assert.rejects(store.save([]), (error) => isNebulaError(error, "unavailable"));
  });

  describe("reads a page without looking at other rows, and without sorting", () => {
    const database = openDatabase(":memory:", REPORT_MIGRATIONS);
    after(() => database.close());

    function planOf({ sql, parameters }: Query): string[] {
      return database
        .prepare(`EXPLAIN QUERY PLAN ${sql}`)
        .all(...parameters)
        .map((row) => String(row.detail));
    }

    const reportFilters: readonly (readonly [filter: ReportFilter, search: string])[] = [
      [{}, "sqlite_autoindex_reports_1 (id>?)"],
      [{ receivedFromMs: 1, receivedUntilMs: 2 }, "sqlite_autoindex_reports_1 (id>? AND id<?)"],
      [{ state: TargetState.FAILED }, "reports_by_state (state=? AND id>?)"],
      [{ deviceGroup: "shops" }, "reports_by_group (device_group=? AND id>?)"],
      [{ deviceGroup: "shops", state: TargetState.FAILED }, "reports_by_group_and_state (device_group=? AND state=? AND id>?)"],
      [{ deviceId: "d", deviceGroup: "shops", state: TargetState.FAILED }, "reports_by_device (device_id=? AND id>?)"],
    ];
    for (const [filter, search] of reportFilters) {
      it(`a page of reports ${JSON.stringify(filter)} is read without looking at other rows, and without sorting`, () => {
        const plan = [`SEARCH reports USING INDEX ${search}`];
        assert.deepEqual(planOf(reportListQuery(filter, undefined, 10)), plan);
        assert.deepEqual(planOf(reportListQuery(filter, firstReportIdAt(SAMPLE_TIME_MS), 10)), plan);
      });
    }

    it("the bytes of a device's history are read from one index, and from no report", () => {
      const plan = planOf({ sql: HISTORY_BYTES, parameters: ["d"] });
      assert.deepEqual(plan, ["SEARCH reports USING COVERING INDEX reports_by_device (device_id=?)"]);
    });

    const deviceFilters: readonly (readonly [filter: DeviceFilter, first: string, next: string])[] = [
      [{}, "SCAN devices USING INDEX devices_by_group", "SEARCH devices USING INDEX devices_by_group ((device_group,device_id)>(?,?))"],
      [
        { deviceGroup: "shops" },
        "SEARCH devices USING INDEX devices_by_group (device_group=?)",
        "SEARCH devices USING INDEX devices_by_group (device_group=? AND device_id>?)",
      ],
      [
        { state: TargetState.FAILED },
        "SEARCH devices USING INDEX devices_by_state (state=?)",
        "SEARCH devices USING INDEX devices_by_state (state=? AND (device_group,device_id)>(?,?))",
      ],
      [
        { deviceGroup: "shops", state: TargetState.FAILED },
        "SEARCH devices USING INDEX devices_by_state (state=? AND device_group=?)",
        "SEARCH devices USING INDEX devices_by_state (state=? AND device_group=? AND device_id>?)",
      ],
    ];
    for (const [filter, first, next] of deviceFilters) {
      it(`a page of devices ${JSON.stringify(filter)} is read without looking at other rows, and without sorting`, () => {
        assert.deepEqual(planOf(deviceListQuery(filter, undefined, 10)), [first]);
        assert.deepEqual(planOf(deviceListQuery(filter, { deviceGroup: "shops", deviceId: "d" }, 10)), [next]);
      });
    }
  });
});
