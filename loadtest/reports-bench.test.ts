import { strict as assert } from "node:assert";
import { openSqliteReportStore } from "../common/storage/sqlite/reports/report-store.ts";
import { requireServer } from "../common/testing/servers.ts";
import { benchReports, MEASURED } from "./reports-bench.ts";

describe("the bench of reports", function () {
  this.timeout(90_000);
  let kafka = "";
  before("start Kafka", async function () {
    if (process.platform !== "linux") this.skip();
    kafka = (await requireServer(this, "kafka")).address;
  });

  it("the bench of reports measures each kind, and every record is published, stored and committed", async () => {
    const openStore = () => openSqliteReportStore({ path: ":memory:" });
    const runs = await benchReports({
      kafka,
      openStore,
      runs: 1,
      records: 400,
      devices: 40,
      partitions: 2,
      servers: { bench: process.pid },
      say: () => {},
    });
    assert.deepEqual(
      runs.map(({ measured }) => measured),
      [...MEASURED],
    );
    for (const run of runs) assert.ok(run.recordsPerSecond > 0 && run.cpuUsPerRecord > 0, JSON.stringify(run));
    for (const { serverUsPerRecord } of runs) assert.deepEqual(Object.keys(serverUsPerRecord), ["bench"]);
  });
});
