import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { StoredReportSchema, TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import { isNebulaError } from "../../errors/nebula-error.ts";
import { SAMPLE_TIME_MS, sampleReport } from "../../testing/sample-report.ts";
import type { DeviceFilter, ReportFilter } from "../report-store.ts";
import { describeReportExpiry, describeReportStore } from "../report-store-contract.ts";
import { openDatabase } from "./open-database.ts";
import { deviceListQuery, type Query, reportListQuery } from "./report-queries.ts";
import { REPORT_MIGRATIONS } from "./report-schema.ts";
import { openSqliteReportStore } from "./report-store.ts";

const openInMemory = () => openSqliteReportStore({ path: ":memory:" });
describeReportStore("sqlite:", openInMemory);
describeReportExpiry("sqlite:", openInMemory);

describe("sqlite report store", () => {
  it("holds after it is opened again what was saved before", async () => {
    const folder = await mkdtemp(join(tmpdir(), "nebula-reports-"));
    try {
      const path = join(folder, "reports.db");
      {
        await using store = await openSqliteReportStore({ path });
        await store.save({ reports: [create(StoredReportSchema, { id: "0".repeat(24), report: sampleReport() })], statuses: [] });
      }
      await using again = await openSqliteReportStore({ path });
      assert.equal((await again.listReports({}, { limit: 1 })).items.length, 1);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("is unavailable once it is closed", async () => {
    const store = await openInMemory();
    await store[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
    await assert.rejects(store.getDevice("device-1"), (error) => isNebulaError(error, "unavailable"));
    await assert.rejects(store.save({ reports: [], statuses: [] }), (error) => isNebulaError(error, "unavailable"));
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
      [{}, "reports_by_time (received_at>?)"],
      [{ receivedFromMs: 1, receivedUntilMs: 2 }, "reports_by_time (received_at>? AND received_at<?)"],
      [{ state: TargetState.FAILED }, "reports_by_state (state=? AND received_at>?)"],
      [{ deviceGroup: "shops" }, "reports_by_group (device_group=? AND received_at>?)"],
      [{ deviceGroup: "shops", state: TargetState.FAILED }, "reports_by_group_and_state (device_group=? AND state=? AND received_at>?)"],
      [{ deviceId: "d", deviceGroup: "shops", state: TargetState.FAILED }, "reports_by_device (device_id=? AND received_at>?)"],
    ];
    for (const [filter, search] of reportFilters) {
      it(`reports ${JSON.stringify(filter)}`, () => {
        const plan = [`SEARCH reports USING INDEX ${search}`];
        assert.deepEqual(planOf(reportListQuery(filter, undefined, 10)), plan);
        assert.deepEqual(planOf(reportListQuery(filter, { receivedAtMs: SAMPLE_TIME_MS, number: 7 }, 10)), plan);
      });
    }

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
      it(`devices ${JSON.stringify(filter)}`, () => {
        assert.deepEqual(planOf(deviceListQuery(filter, undefined, 10)), [first]);
        assert.deepEqual(planOf(deviceListQuery(filter, { deviceGroup: "shops", deviceId: "d" }, 10)), [next]);
      });
    }
  });
});
