import { strict as assert } from "node:assert";
import { Registry } from "prom-client";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { createMemoryFeed } from "../../common/feed/memory-feed.ts";
import { statusAnnouncements } from "../../common/insight/status-announcements.ts";
import { silentLog } from "../../common/log/log.ts";
import type { ReportStore } from "../../common/storage/report-store.ts";
import { openSqliteReportStore } from "../../common/storage/sqlite/reports/report-store.ts";
import { readAll } from "../../common/testing/read-all.ts";
import { sampleReport } from "../../common/testing/sample-report.ts";
import { saveReports, statusRow } from "../../common/testing/save-reports.ts";
import { TargetState } from "../../gen/nebula/v1/report_pb.ts";
import type { GroupView } from "../insight/views/group-view.ts";
import { createGroupViews } from "../insight/views/group-views.ts";

/** Views over a real store, whose writes are announced unless they are to be lost. */
export async function startViewsRig({ devices = 0, mostBytes, registry = new Registry(), wrap = (store) => store }: Start = {}) {
  const store = await openSqliteReportStore({ path: ":memory:" });
  const clock = new ManualClock();
  const feed = createMemoryFeed({ log: silentLog });
  const reads = { lists: 0, versions: 0, watches: 0 };
  const counted = {
    ...store,
    listSummaries(...call: Parameters<ReportStore["listSummaries"]>) {
      reads.lists++;
      return store.listSummaries(...call);
    },
    listVersions(...call: Parameters<ReportStore["listVersions"]>) {
      reads.versions++;
      return store.listVersions(...call);
    },
    listPresence(...call: Parameters<ReportStore["listPresence"]>) {
      reads.watches++;
      return store.listPresence(...call);
    },
  };
  const views = createGroupViews({ store: wrap(counted), feed, clock, log: silentLog, registry, ...(mostBytes === undefined ? {} : { mostBytes }) });
  let version = 0n;

  async function put(deviceId: string, { group = "shops", state = TargetState.APPLIED, lost = false }: Put = {}): Promise<void> {
    const before = (await store.statuses([deviceId])).get(deviceId);
    const row = statusRow(sampleReport({ deviceId, deviceGroup: group, state, seq: ++version }), version);
    await store.save([{ before, row, reports: [] }]);
    if (!lost) for (const event of statusAnnouncements([{ before, row }])) feed.publish(event);
  }

  async function forget(deviceId: string, { lost = false } = {}): Promise<void> {
    const row = (await store.deleteDevice(deviceId)) ?? assert.fail("there is no device");
    version++;
    if (!lost) for (const event of statusAnnouncements([{ before: undefined, row }])) feed.publish(event);
  }

  const ids = Array.from({ length: devices }, (_, index) => `device-${1000 + index}`);
  version = 1n;
  await saveReports(store, { statuses: ids.map((deviceId) => statusRow(sampleReport({ deviceId }), 1n)) });
  return {
    store,
    clock,
    feed,
    reads,
    views,
    put,
    forget,
    async [Symbol.asyncDispose]() {
      views[Symbol.dispose]();
      await feed[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}

type Start = { devices?: number; mostBytes?: number; registry?: Registry; wrap?: Wrap };
type Put = { group?: string; state?: TargetState; lost?: boolean };
type ViewStore = Parameters<typeof createGroupViews>[0]["store"];
type Wrap = (store: ViewStore) => ViewStore;

/** The devices of a view with their versions, to be compared with `recount`. */
export function contents({ devices }: GroupView): string[] {
  return [...devices.values()].map(({ deviceId, summary }) => `${deviceId}@${summary?.writtenAt}`).sort();
}

/** The devices of a group with their versions, as the store has them. */
export async function recount(store: ReportStore, deviceGroup = "shops"): Promise<string[]> {
  const items = await readAll((page) => store.listSummaries(deviceGroup, page), 1000);
  return items.map(({ deviceId, writtenAt }) => `${deviceId}@${writtenAt}`).sort();
}
