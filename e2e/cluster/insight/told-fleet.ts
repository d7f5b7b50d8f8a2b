import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { systemClock } from "../../../common/clock/system-clock.ts";
import { bootsAt, connectionOf } from "../../../common/insight/connection.ts";
import type { ReportStore } from "../../../common/storage/report-store.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import type { ApplyCounts } from "../../../gen/nebula/v1/apply_pb.ts";
import { ConnectionState } from "../../../gen/nebula/v1/device_pb.ts";
import { type FailureCode, ReportSchema, ReportService, TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import type { Cluster } from "../../harness/cluster.ts";
import type { Member } from "../../harness/cluster-member.ts";
import { LightDevice, SharedChannels } from "../light-device.ts";

const WITHIN = { timeoutMs: 60_000, everyMs: 100 };
const BOOT = "b";

/** The report of a device about its only app. */
export type Told = Readonly<{
  app: string;
  revision: bigint;
  appliedRevision: bigint;
  groupRevision: bigint;
  state: TargetState;
  code?: FailureCode;
  /** Since when it is in that state, milliseconds before the report. */
  stateForMs?: bigint;
}>;

export type ToldDevice = Readonly<{
  id: string;
  index: number;
  deviceGroup: string;
  light: LightDevice;
  hasLeft: () => boolean;
  leave: () => Promise<void>;
}>;

/** Devices whose watches follow the worker's own rules, and which report what the test says. */
export class ToldFleet implements AsyncDisposable {
  readonly devices: ToldDevice[] = [];
  readonly #cluster: Cluster;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #channels = new SharedChannels();
  readonly #seqs = new Map<string, bigint>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#headers = { authorization: `Basic ${Buffer.from(`admin:${cluster.password}`).toString("base64")}` };
  }

  #managers(): readonly string[] {
    return this.#cluster.shards.filter(({ program }) => !program.ended).map(({ address }) => address);
  }

  /** Starts devices, each with a watch. */
  add(deviceGroup: string, count: number): readonly ToldDevice[] {
    const added = Array.from({ length: count }, (_, i) => {
      const index = this.devices.length + i;
      const life = new AbortController();
      const managers = () => this.#managers();
      const light = new LightDevice({ channels: this.#channels, index, deviceGroup, managers, headers: this.#headers, clock: systemClock });
      const running = light.run(life.signal);
      const leave = () => {
        life.abort();
        return running;
      };
      return { id: `device-${index}`, index, deviceGroup, light, hasLeft: () => life.signal.aborted, leave };
    });
    this.devices.push(...added);
    return added;
  }

  /** Resolves when each of these is served; by this shard alone, where one is given. */
  async served(devices: readonly ToldDevice[], by?: Member): Promise<void> {
    const isServed = ({ servedBy }: LightDevice) => servedBy !== undefined && (by === undefined || servedBy === by.address);
    const others = () => devices.filter(({ light }) => !isServed(light));
    await eventually(() => others().length === 0, WITHIN).catch((error) => {
      const told = others().map(({ id, light: { servedBy, failures } }) => `${id} at ${servedBy}, ${failures.join("; ")}`);
      throw new Error(`not served${by === undefined ? "" : ` by ${by.address}`}: ${told.join(", ")}`, { cause: error });
    });
  }

  /** Has a device report, through any shard that is up; again until it is acknowledged. */
  async tell({ id, deviceGroup }: Pick<ToldDevice, "id" | "deviceGroup">, told: Told): Promise<void> {
    const { app: name, revision, appliedRevision, groupRevision, state, code: failureCode, stateForMs = 0n } = told;
    const seq = (this.#seqs.get(id) ?? 0n) + 1n;
    this.#seqs.set(id, seq);
    const app = {
      name,
      revision,
      appliedRevision,
      state,
      stateForMs,
      ...(failureCode === undefined ? {} : { failureCode, reason: "as the test says" }),
    };
    const report = create(ReportSchema, { deviceId: id, deviceGroup, boot: BOOT, seq, workerVersion: "0.0.0", state, groupRevision, apps: [app] });
    await eventually(async () => {
      const channel = this.#channels.to(this.#managers()[0] ?? assert.fail("no shard is up"), 0);
      await channel.unary(ReportService.method.submitReports, { reports: [report] }, { headers: this.#headers, timeoutMs: 10_000 });
    }, WITHIN);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.devices.map(({ leave }) => leave()));
    this.#channels[Symbol.dispose]();
  }
}

export type Recount = Readonly<Record<Exclude<keyof ApplyCounts, `$${string}`>, number>>;

/** Counts the devices of a fleet with an app's revision from the rows of the store, without summaries. */
export async function recount(
  store: ReportStore,
  devices: readonly ToldDevice[],
  { app, revision }: Pick<Told, "app" | "revision">,
): Promise<Recount> {
  const ids = devices.map(({ id }) => id);
  const [rows, presence, shards] = await Promise.all([store.statuses(ids), store.presenceOf(ids), store.listShards()]);
  const boots = bootsAt(shards, Date.now());
  const counts = { devices: 0, applied: 0, failed: 0, offline: 0, working: 0, waiting: 0, online: 0, onlineApplied: 0 };
  for (const id of ids) {
    const { state } = connectionOf(presence.get(id) ?? [], undefined, boots, Date.now());
    const isOnline = state === ConnectionState.ONLINE;
    const status = rows.get(id)?.device.report?.apps.find(({ name }) => name === app);
    const answered = status !== undefined && status.revision >= revision;
    const standing =
      answered && status.state === TargetState.APPLIED && status.appliedRevision >= revision
        ? "applied"
        : answered && status.state === TargetState.FAILED
          ? "failed"
          : !isOnline
            ? "offline"
            : answered
              ? "working"
              : "waiting";
    counts.devices++;
    counts[standing]++;
    if (isOnline) counts.online++;
    if (isOnline && standing === "applied") counts.onlineApplied++;
  }
  return counts;
}

export function inNumbers(counts: ApplyCounts | undefined): Recount {
  if (counts === undefined) return assert.fail("a message without counts");
  const { $typeName: _, $unknown: __, ...numbers } = counts;
  return Object.fromEntries(Object.entries(numbers).map(([name, count]) => [name, Number(count)])) as Recount;
}
