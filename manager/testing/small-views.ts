import type { Clock } from "../../common/clock/clock.ts";
import { createMemoryFeed } from "../../common/feed/memory-feed.ts";
import { silentLog } from "../../common/log/log.ts";
import { openSqliteReportStore } from "../../common/storage/sqlite/reports/report-store.ts";
import { sampleReport } from "../../common/testing/sample-report.ts";
import { saveAndAnnounce, statusRow } from "../../common/testing/save-reports.ts";
import { createGroupViews } from "../insight/views/group-views.ts";

/** Views over a real store, with room for a few devices, and the devices that report. */
export async function startSmallViews(clock: Clock, mostBytes = 20_000) {
  const stack = new AsyncDisposableStack();
  const store = stack.use(await openSqliteReportStore({ path: ":memory:" }));
  const feed = stack.use(createMemoryFeed({ log: silentLog }));
  const groupViews = stack.use(createGroupViews({ store, feed, clock, log: silentLog, mostBytes }));
  return {
    groupViews,
    /** Stores the first report of a device, and announces it. */
    report: (deviceId: string, deviceGroup: string) => saveAndAnnounce(store, feed, statusRow(sampleReport({ deviceId, deviceGroup }))),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
