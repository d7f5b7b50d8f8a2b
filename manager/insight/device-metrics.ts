import { Counter, Gauge, type Registry } from "prom-client";
import type { Clock } from "../../common/clock/clock.ts";
import { messageOf } from "../../common/errors/nebula-error.ts";
import { bootsAt, connectionOf } from "../../common/insight/connection.ts";
import type { Log } from "../../common/log/log.ts";
import type { Membership } from "../../common/membership/membership.ts";
import { ranked } from "../../common/membership/rendezvous.ts";
import type { PresenceRow, PresenceStore } from "../../common/storage/presence-store.ts";
import type { ReportStore } from "../../common/storage/report-store.ts";
import { enumWords } from "../../common/text/enum-words.ts";
import { ConnectionState, type DeviceConnection, type DeviceSummary } from "../../gen/nebula/v1/device_pb.ts";
import { FailureCode, FailureCodeSchema, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { pagesInTurns } from "./views/in-turns.ts";
import { withoutMoving } from "./views/without-moving.ts";

// Metrics of devices by device_group, counted from the store's summaries.
//
// D1: a device_group is counted by one shard, the first of its ranking, so the metrics of all shards add up.
// D2: it is counted once in EVERY_MS at most, however often metrics are scraped, and not at all while nobody scrapes them.
// D3: a count reads pages and keeps numbers, besides the presence of one device_group; each page is a turn of the event loop.
// D4: the largest MOST_GROUPS have labels of their own; the others are one, OTHERS, which cannot be a name.

/** The least time between two counts, milliseconds. */
const EVERY_MS = 60_000;
/** Without a scrape in this time counting stops, milliseconds. */
const SCRAPED_WITHIN_MS = 600_000;
/** Device_groups of this shard with labels of their own. */
const MOST_GROUPS = 500;
const OTHERS = "_others";
const PAGE = 500;

const STATES = { applied: TargetState.APPLIED, working: TargetState.WORKING, failed: TargetState.FAILED } as const;
const CODES = new Map([...enumWords(FailureCodeSchema)].map(([word, code]) => [code, word]));

export type DeviceMetricsParts = Readonly<{
  store: Pick<ReportStore, "groups" | "listSummaries" | "statuses"> & Pick<PresenceStore, "listPresence" | "listShards">;
  membership: Pick<Membership, "self" | "members">;
  clock: Clock;
  log: Log;
  registry: Registry;
  mostGroups?: number;
}>;

/** The devices of one device_group in numbers. */
export type GroupNumbers = {
  applied: number;
  working: number;
  failed: number;
  unknown: number;
  online: number;
  offline: number;
  /** When the newest report was received, milliseconds since 1970; 0: there is none. */
  newestMs: number;
  /** Devices that have the code on an app or cron_job, each once. */
  codes: Map<FailureCode, number>;
};

/** Registers the metrics and counts until the signal is aborted; then it resolves. */
export function runDeviceMetrics(parts: DeviceMetricsParts, signal: AbortSignal): Promise<void> {
  return new DeviceMetrics(parts).run(signal);
}

class DeviceMetrics {
  readonly #parts: DeviceMetricsParts;
  #groups = new Map<string, GroupNumbers>();
  #codes = new Map<FailureCode, number>();
  /** Monotonic, of the last scrape. */
  #scraped = Number.NEGATIVE_INFINITY;
  #awake = Promise.withResolvers<void>();
  readonly #failures: Counter;

  constructor(parts: DeviceMetricsParts) {
    this.#parts = parts;
    const registers = [parts.registry];
    const gauge = (name: string, help: string, labelNames: readonly string[], set: (to: Gauge) => void) => {
      const scraped = () => this.#onScrape();
      new Gauge({
        name,
        help,
        labelNames,
        registers,
        collect() {
          scraped();
          this.reset();
          set(this);
        },
      });
    };
    gauge(
      "nebula_devices",
      "Devices of a device_group, by the state of their newest report; unknown: they connected and never reported.",
      ["device_group", "state"],
      (to) => {
        for (const [device_group, { applied, working, failed, unknown }] of this.#groups) {
          for (const [state, count] of Object.entries({ applied, working, failed, unknown })) to.set({ device_group, state }, count);
        }
      },
    );
    gauge("nebula_devices_connected", "Devices of a device_group, by their connection: online or offline.", ["device_group", "connection"], (to) => {
      for (const [device_group, { online, offline }] of this.#groups) {
        to.set({ device_group, connection: "online" }, online);
        to.set({ device_group, connection: "offline" }, offline);
      }
    });
    gauge("nebula_newest_report_age_seconds", "Age of the newest report of all devices of a device_group.", ["device_group"], (to) => {
      const now = parts.clock.now();
      for (const [device_group, { newestMs }] of this.#groups) if (newestMs > 0) to.set({ device_group }, Math.max(0, now - newestMs) / 1000);
    });
    gauge("nebula_devices_with_failure_code", "Devices that have a failure code on an app or cron_job, each once.", ["failure_code"], (to) => {
      for (const [code, count] of this.#codes) to.set({ failure_code: CODES.get(code) ?? "other" }, count);
    });
    this.#failures = new Counter({ name: "nebula_device_counts_failed_total", help: "Counts of devices that the store did not answer.", registers });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    while (!signal.aborted) {
      if (clock.monotonic() - this.#scraped >= SCRAPED_WITHIN_MS) {
        this.#awake = Promise.withResolvers();
        await Promise.race([this.#awake.promise, aborted]); // D2
        if (signal.aborted) return;
      }
      try {
        await this.#count(signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#failures.inc();
        log.warn({ error: messageOf(error) }, "devices could not be counted for metrics");
      }
      await clock.sleep(EVERY_MS, signal).catch(() => {});
    }
  }

  #onScrape(): void {
    this.#scraped = this.#parts.clock.monotonic();
    this.#awake.resolve();
  }

  async #count(signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#parts;
    const counted = new Map<string, GroupNumbers>();
    const boots = bootsAt(await store.listShards(signal), clock.now(), this.#parts.membership.self?.boot);
    for (let after = ""; ; ) {
      const names = await store.groups({ after, limit: PAGE }, signal);
      for (const name of names) {
        if (!this.#isCountedHere(name)) continue; // D1
        const numbers = await countGroup(store, name, { boots, now: clock.now() }, signal);
        if (devicesIn(numbers) > 0) counted.set(name, numbers);
      }
      after = names.at(-1) ?? after;
      if (names.length < PAGE) break;
    }
    this.#codes = sumOf([...counted.values()]).codes;
    this.#groups = withinLabels(counted, this.#parts.mostGroups ?? MOST_GROUPS);
  }

  #isCountedHere(deviceGroup: string): boolean {
    const { self, members } = this.#parts.membership;
    const [first] = ranked([deviceGroup], members());
    return self === undefined || first === undefined || first.boot === self.boot;
  }
}

/** Counts the devices of a group from the store. Rejects as the store does. */
export async function countGroup(
  store: DeviceMetricsParts["store"],
  deviceGroup: string,
  { boots, now }: Readonly<{ boots: ReturnType<typeof bootsAt>; now: number }>,
  signal: AbortSignal,
): Promise<GroupNumbers> {
  const presence = new Map<string, PresenceRow[]>();
  for await (const page of pagesInTurns((after) => store.listPresence(deviceGroup, { limit: PAGE, ...after }, signal))) {
    for (const row of page) {
      const rows = presence.get(row.deviceId);
      if (rows === undefined) presence.set(row.deviceId, [row]);
      else rows.push(row);
    }
  }
  const numbers = none();
  for await (const page of pagesInTurns((after) => store.listSummaries(deviceGroup, { limit: PAGE, ...after }, signal))) {
    for (const summary of page) {
      const rows = presence.get(summary.deviceId) ?? [];
      presence.delete(summary.deviceId);
      const report = { receivedMs: Number(summary.receivedAtMs), original: summary.original };
      addDevice(numbers, summary, connectionOf(rows, report, boots, now));
    }
  }
  const silent = [...presence].flatMap(([deviceId, rows]) => {
    const connection = connectionOf(rows, undefined, boots, now);
    // one whose watch ended here and that never reported may be in another group by now
    return connection.state === ConnectionState.ONLINE ? [{ deviceGroup, device: { deviceId, summary: undefined }, connection }] : [];
  });
  for (const { connection } of await withoutMoving(store, silent, signal)) addDevice(numbers, undefined, connection);
  return numbers;
}

function addDevice(numbers: GroupNumbers, summary: DeviceSummary | undefined, connection: DeviceConnection): void {
  const state = Object.entries(STATES).find(([, value]) => value === summary?.state)?.[0];
  if (state === "applied" || state === "working" || state === "failed") numbers[state]++;
  else numbers.unknown++;
  if (connection.state === ConnectionState.ONLINE) numbers.online++;
  else numbers.offline++;
  if (summary === undefined) return;
  numbers.newestMs = Math.max(numbers.newestMs, Number(summary.receivedAtMs));
  for (const code of new Set(summary.targets.map(({ failureCode }) => failureCode))) {
    if (code !== FailureCode.UNSPECIFIED) numbers.codes.set(code, (numbers.codes.get(code) ?? 0) + 1);
  }
}

/** D4: groups by name, those beyond the largest `most` as one. */
export function withinLabels(groups: ReadonlyMap<string, GroupNumbers>, most: number): Map<string, GroupNumbers> {
  const bySize = [...groups].sort(([one, a], [other, b]) => devicesIn(b) - devicesIn(a) || (one < other ? -1 : 1));
  const rest = bySize.slice(most).map(([, numbers]) => numbers);
  return new Map([...bySize.slice(0, most), ...(rest.length === 0 ? [] : [[OTHERS, sumOf(rest)] as const])]);
}

function sumOf(all: readonly GroupNumbers[]): GroupNumbers {
  const sum = none();
  for (const { codes, newestMs, ...counts } of all) {
    for (const name of ["applied", "working", "failed", "unknown", "online", "offline"] as const) sum[name] += counts[name];
    sum.newestMs = Math.max(sum.newestMs, newestMs);
    for (const [code, count] of codes) sum.codes.set(code, (sum.codes.get(code) ?? 0) + count);
  }
  return sum;
}

function devicesIn({ applied, working, failed, unknown }: GroupNumbers): number {
  return applied + working + failed + unknown;
}

function none(): GroupNumbers {
  return { applied: 0, working: 0, failed: 0, unknown: 0, online: 0, offline: 0, newestMs: 0, codes: new Map() };
}
