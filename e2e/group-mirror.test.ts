import { strict as assert } from "node:assert";
import { equals } from "@bufbuild/protobuf";
import fc from "fast-check";
import { Registry } from "prom-client";
import { ManualClock } from "../common/clock/manual-clock.ts";
import type { Announcement, ChangeFeed, FeedListener } from "../common/feed/change-feed.ts";
import { bootsAt, connectionOf, decidingRow } from "../common/insight/connection.ts";
import { statusAnnouncements } from "../common/insight/status-announcements.ts";
import { silentLog } from "../common/log/log.ts";
import type { ReportStore } from "../common/storage/report-store.ts";
import { openSqliteReportStore } from "../common/storage/sqlite/reports/report-store.ts";
import { readAll } from "../common/testing/read-all.ts";
import { encodedReport, SAMPLE_TIME_MS, sampleReport } from "../common/testing/sample-report.ts";
import { savePresenceAndAnnounce } from "../common/testing/save-reports.ts";
import { DeviceConnectionSchema, DeviceSummarySchema } from "../gen/nebula/v1/device_pb.ts";
import { TargetState } from "../gen/nebula/v1/report_pb.ts";
import type { DeviceInGroup, GroupView } from "../manager/insight/views/group-view.ts";
import { createGroupViews } from "../manager/insight/views/group-views.ts";
import { createIngest } from "../reporter/ingest.ts";
import { createReporterMetrics } from "../reporter/metrics.ts";

const GROUPS = ["offices", "shops"] as const;
const OWN = "boot-a";
const OTHER = "boot-b";
const RUNS = 150;
const never = new AbortController().signal;

/** The fate of an announcement. */
type Fate = "delivered" | "lost" | "doubled" | "late" | "gap";
/** An event in the fleet, or for a reader. */
type Step = Readonly<
  | { kind: "report"; device: number; group: number; boot: string; state: TargetState }
  | { kind: "forget"; device: number }
  | { kind: "watch"; device: number; group: number; shard: string; ended: boolean }
  | { kind: "time"; tens: number }
  | { kind: "mark" }
  | { kind: "reader"; group: number; opens: boolean }
  | { kind: "reread"; group: number }
>;

const anyDevice = fc.integer({ min: 0, max: 4 });
const anyGroup = fc.integer({ min: 0, max: 1 });
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("report" as const),
      device: anyDevice,
      group: anyGroup,
      boot: fc.constantFrom("one", "two", "v2"),
      state: fc.constantFrom(TargetState.APPLIED, TargetState.WORKING, TargetState.FAILED),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("forget" as const), device: anyDevice }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("watch" as const),
      device: anyDevice,
      group: anyGroup,
      shard: fc.constantFrom(OWN, OTHER),
      ended: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("time" as const), tens: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 1, arbitrary: fc.constant({ kind: "mark" } as const) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("reader" as const), group: anyGroup, opens: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reread" as const), group: anyGroup }) },
);
const anyFate: fc.Arbitrary<Fate> = fc.constantFrom("delivered", "lost", "doubled", "late", "gap");

/** A feed that does to each announcement what its fate says; those that are late come in another order. */
function faultyFeed(fates: Iterator<Fate>) {
  const listeners = new Set<FeedListener>();
  const late: Announcement[] = [];
  const tell = (event: Parameters<FeedListener>[0]) => {
    for (const listener of listeners) listener(event);
  };
  const feed: Pick<ChangeFeed, "publish" | "subscribe" | "followStatus"> = {
    publish(event) {
      const fate = fates.next().value ?? "delivered";
      if (fate === "late") late.push(event);
      else if (fate === "gap") tell({ kind: "gap" });
      else if (fate !== "lost") for (let time = 0; time < (fate === "doubled" ? 2 : 1); time++) setImmediate(tell, event);
    },
    subscribe(listener) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
    followStatus: async () => ({ [Symbol.dispose]() {} }),
  };
  return {
    feed,
    /** Delivers what is late, the newest first. */
    deliverLate() {
      for (const event of late.reverse()) tell(event);
    },
  };
}

async function start(fates: readonly Fate[]) {
  const store = await openSqliteReportStore({ path: ":memory:" });
  const clock = new ManualClock(SAMPLE_TIME_MS);
  const { feed, deliverLate } = faultyFeed(fates[Symbol.iterator]());
  const ingest = createIngest({
    store,
    accessStore: { deviceToken: async () => undefined },
    bus: { publishDead: async () => assert.fail("no record is dead") },
    feed,
    limits: { duplicateMemoryMs: 3_600_000 },
    reportTtlMs: 24 * 3_600_000,
    clock,
    log: silentLog,
    metrics: createReporterMetrics(new Registry(), clock),
    misses: () => {},
  });
  const views = createGroupViews({ store, feed, ownBoot: OWN, clock, log: silentLog });
  const seqs = new Map<string, bigint>();
  let stream = 0;
  const mark = (boot: string) => store.markShard({ boot, name: boot, address: "m:1", seenMs: clock.now() });
  await mark(OWN);
  await mark(OTHER);

  async function take(step: Step, readers: Readers): Promise<void> {
    const group = "group" in step ? (GROUPS[step.group] ?? "shops") : "shops";
    switch (step.kind) {
      case "report": {
        const { device, boot, state } = step;
        const seq = (seqs.get(`${device} ${boot}`) ?? 0n) + 1n;
        seqs.set(`${device} ${boot}`, seq);
        const report = sampleReport({ deviceId: `device-${device}`, deviceGroup: group, boot, seq, state, receivedMs: clock.now() });
        return ingest([{ key: report.deviceId, value: encodedReport(report), timestampMs: clock.now() }], never);
      }
      case "forget": {
        const row = await store.deleteDevice(`device-${step.device}`);
        if (row !== undefined) for (const event of statusAnnouncements([{ before: undefined, row }])) feed.publish(event);
        return;
      }
      case "watch": {
        const row = { deviceId: `device-${step.device}`, shardBoot: step.shard, stream: ++stream, ended: step.ended, atMs: clock.now() };
        return savePresenceAndAnnounce(store, feed, { ...row, deviceGroup: group });
      }
      case "time":
        await clock.advance(step.tens * 10_000);
        return mark(OWN);
      case "mark":
        return mark(OTHER);
      case "reader":
        return step.opens ? readers.open(group) : readers.close(group);
      case "reread":
        return readers.reread(group);
    }
  }

  return { store, clock, views, take, deliverLate };
}

/** The readers of groups: one a group, opened and read again while the fleet goes on. */
class Readers {
  readonly #open = new Map<string, Promise<GroupView>>();
  readonly #rereads: Promise<void>[] = [];
  readonly #views: ReturnType<typeof createGroupViews>;

  constructor(views: ReturnType<typeof createGroupViews>) {
    this.#views = views;
  }

  open(group: string): void {
    if (!this.#open.has(group)) this.#open.set(group, this.#views.open(group, never));
  }

  async close(group: string): Promise<void> {
    (await this.#open.get(group))?.[Symbol.dispose]();
    this.#open.delete(group);
  }

  reread(group: string): void {
    const view = this.#open.get(group);
    if (view !== undefined) this.#rereads.push(view.then((opened) => opened.reread(never)));
  }

  async view(group: string): Promise<GroupView> {
    this.open(group);
    await Promise.all(this.#rereads);
    return (await this.#open.get(group)) ?? assert.fail("there is no view");
  }
}

/** The devices of a group by the store alone. */
async function recount(store: ReportStore, deviceGroup: string, nowMs: number): Promise<Map<string, DeviceInGroup>> {
  const boots = bootsAt(await store.listShards(), nowMs, OWN);
  const rows = Map.groupBy(await readAll((page) => store.listPresence(deviceGroup, page), 3), ({ deviceId }) => deviceId);
  const summaries = new Map((await readAll((page) => store.listSummaries(deviceGroup, page), 3)).map((summary) => [summary.deviceId, summary]));
  const anywhere = await store.presenceOf([...rows.keys()]);
  const devices = new Map<string, DeviceInGroup>();
  for (const deviceId of new Set([...rows.keys(), ...summaries.keys()])) {
    const summary = summaries.get(deviceId);
    const report = summary && { receivedMs: Number(summary.receivedAtMs), original: summary.original };
    const connection = connectionOf(rows.get(deviceId) ?? [], report, boots, nowMs);
    const isHere = summary !== undefined || decidingRow(anywhere.get(deviceId) ?? [], boots)?.deviceGroup === deviceGroup;
    const row = summary === undefined ? (await store.statuses([deviceId])).get(deviceId) : undefined;
    const moves = row !== undefined && row.deleted !== true && row.device.deviceGroup !== deviceGroup;
    if (isHere) devices.set(deviceId, { deviceId, summary, connection, ...(moves && { moves }) });
  }
  return devices;
}

function assertSame(mirror: ReadonlyMap<string, DeviceInGroup>, expected: ReadonlyMap<string, DeviceInGroup>): void {
  const short = (devices: ReadonlyMap<string, DeviceInGroup>) =>
    [...devices.values()]
      .map((each) => `${each.deviceId} @${each.summary?.writtenAt} ${each.connection.state}${each.moves === true ? " moves" : ""}`)
      .sort();
  assert.deepEqual(short(mirror), short(expected));
  for (const [deviceId, { summary, connection }] of expected) {
    const found = mirror.get(deviceId) ?? assert.fail(`${deviceId} is missing`);
    assert.ok(equals(DeviceConnectionSchema, found.connection, connection), `the connection of ${deviceId}`);
    if (summary !== undefined) assert.ok(equals(DeviceSummarySchema, found.summary ?? assert.fail(), summary), `the summary of ${deviceId}`);
  }
}

describe("the mirror of a device group", function () {
  this.timeout(120_000);

  it("a mirror equals a recount from the store after one reread, with any announcements lost, doubled, late or reordered", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyStep, { minLength: 5, maxLength: 40 }), fc.array(anyFate, { maxLength: 60 }), async (steps, fates) => {
        const rig = await start(fates);
        try {
          const readers = new Readers(rig.views);
          for (const step of steps) await rig.take(step, readers);
          rig.deliverLate();
          for (const group of GROUPS) {
            using view = await readers.view(group);
            const told = new Map(view.devices);
            using _listening = view.onChange((changes) => {
              for (const { before, after } of changes) {
                const deviceId = (before ?? after)?.deviceId ?? "";
                assert.equal(told.get(deviceId), before, "a change begins where the one before ended");
                if (after === undefined) told.delete(deviceId);
                else told.set(deviceId, after);
              }
            });
            await rig.clock.advance(10_000); // the boots of shards are read, and what was published is delivered
            await view.reread(never);
            assertSame(view.devices, await recount(rig.store, group, rig.clock.now()));
            assert.deepEqual(told, view.devices, "the changes that listeners receive lead to the devices of the mirror");
          }
        } finally {
          rig.views[Symbol.dispose]();
          await rig.store[Symbol.asyncDispose]();
        }
      }),
      { numRuns: RUNS },
    );
  });

  it("a mirror that loses no announcement has the summaries of the store without a reread, in any order of announcements", async () => {
    const anyChange = anyStep.filter(({ kind }) => kind === "report" || kind === "forget");
    const anyOrder: fc.Arbitrary<Fate> = fc.constantFrom("delivered", "doubled", "late");
    await fc.assert(
      fc.asyncProperty(fc.array(anyChange, { minLength: 5, maxLength: 40 }), fc.array(anyOrder, { maxLength: 60 }), async (steps, fates) => {
        const rig = await start(fates);
        try {
          const readers = new Readers(rig.views);
          const views = [await readers.view("offices"), await readers.view("shops")];
          for (const step of steps) await rig.take(step, readers);
          await rig.clock.advance(0);
          rig.deliverLate();
          for (const view of views) assertSame(view.devices, await recount(rig.store, view.deviceGroup, rig.clock.now()));
        } finally {
          rig.views[Symbol.dispose]();
          await rig.store[Symbol.asyncDispose]();
        }
      }),
      { numRuns: RUNS },
    );
  });
});
