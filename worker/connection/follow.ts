import type { Clock } from "../../common/clock/clock.ts";
import { mergeConfig } from "../../common/config/merge-config.ts";
import type { MergedState } from "../../common/config/merged-state.ts";
import { assertNever } from "../../common/errors/assert-never.ts";
import type { Log } from "../../common/log/log.ts";
import type { Config } from "../../gen/nebula/v1/config_pb.ts";
import type { LastGood } from "../data/data-folder.ts";
import type { Reconciler } from "../reconcile/reconcile.ts";
import type { DeviceState } from "../report/device-state.ts";
import type { ReportSender } from "../report/sender.ts";
import type { WatchEvent } from "./events.ts";

/** How long a new config waits for the disk, ms: one that hangs must not hold it back. */
const SAVE_WAIT_MS = 5000;

export type FollowOptions = Readonly<{
  clock: Clock;
  keeper: ConfigKeeper;
  lastGood: Pick<LastGood, "saveConfig">;
  reconciler: Pick<Reconciler, "setConfig" | "wake">;
  sender: Pick<ReportSender, "connected" | "changed" | "configCame">;
  state: Pick<DeviceState, "setProblem" | "configCame">;
  log: Log;
}>;

/**
 * Turns what the connection tells into work, until it ends. A config is on the disk before its first step runs, where
 * the disk takes it in time.
 */
export async function followWatch(events: AsyncIterable<WatchEvent>, options: FollowOptions): Promise<void> {
  const { sender, state, log } = options;
  for await (const event of events) {
    switch (event.kind) {
      case "connected":
        sender.connected();
        break;
      case "disconnected":
        break;
      case "config":
        await accept(event.config, event.etag, options);
        break;
      case "unchanged":
        state.setProblem("no_such_group", undefined);
        sender.changed();
        break;
      case "no_such_group":
        log.warn("there is no such device_group now; what runs is kept");
        state.setProblem("no_such_group", "there is no such device_group; create it, or give this worker another. What runs is kept");
        sender.changed();
        break;
      default:
        assertNever(event);
    }
  }
}

async function accept(config: Config, etag: string, { clock, keeper, lastGood, reconciler, sender, state, log }: FollowOptions): Promise<void> {
  const accepted = keeper.accept(config, etag);
  state.setProblem("no_such_group", undefined);
  if (accepted.kind === "ignored") {
    log.warn({ reason: accepted.reason }, "the config is ignored");
    state.setProblem("older_epoch", accepted.reason);
    return sender.changed();
  }
  state.setProblem("older_epoch", undefined);
  if (accepted.clusterChanged) {
    log.warn(
      { cluster: accepted.state.cluster.id, epoch: String(accepted.state.cluster.epoch) },
      "the config is of another cluster or epoch, which is followed from now on",
    );
    state.setProblem(
      "cluster_changed",
      `the device follows cluster ${accepted.state.cluster.id}, epoch ${accepted.state.cluster.epoch}, from now on`,
    );
  }
  const saving = lastGood.saveConfig({ state: accepted.state, etag: accepted.etag, followed: keeper.followed });
  const saved = await withinTime(saving, SAVE_WAIT_MS, clock);
  saving.then(() => reconciler.wake()); // images are removed again; it never rejects
  if (saved === undefined) log.warn({ waitedMs: SAVE_WAIT_MS }, "the disk has not taken the config yet; it is followed meanwhile");
  else if (saved.kind === "not_saved") log.warn({ reason: saved.reason }, "the config can't be saved; going on in memory");
  log.info({ etag, apps: accepted.config.apps.length, cronJobs: accepted.config.cronJobs.length }, "a config came");
  state.configCame(etag);
  reconciler.setConfig(accepted.config, etag);
  sender.configCame();
}

/** Resolves with the result of a promise; undefined if it takes longer. Rejects as the promise does. */
export async function withinTime<T>(promise: Promise<T>, ms: number, clock: Clock): Promise<T | undefined> {
  const end = new AbortController();
  try {
    return await Promise.race([promise, clock.sleep(ms, end.signal).then(() => undefined)]);
  } finally {
    end.abort();
  }
}

/** The outcome of a config. `clusterChanged`: the config is of another cluster, or a higher epoch, than the one before. */
export type Accepted = Readonly<
  { kind: "accepted"; state: MergedState; config: Config; etag: string; clusterChanged: boolean } | { kind: "ignored"; reason: string }
>;

/** Cluster ids that are remembered; each one was a cluster that this device followed, so there are few. */
const MOST_FOLLOWED = 100;

/**
 * The configs that came, merged (R3, R4).
 * K1 the etag is only held for bytes that count as they were received: after an ignored entry there is none, so that the server sends its config again.
 */
export class ConfigKeeper {
  #state: MergedState | undefined;
  #etag: string;
  #followed: readonly string[];

  /** @param followed the clusters that the data folder followed or took over; the newest last */
  constructor(state: MergedState | undefined, etag: string, followed: readonly string[]) {
    this.#state = state;
    this.#etag = etag;
    this.#followed = followed;
  }

  /** The cluster of the newest config is the last of these. */
  get followed(): readonly string[] {
    return this.#followed;
  }

  get etag(): string {
    return this.#etag;
  }

  accept(config: Config, etag: string): Accepted {
    const result = mergeConfig(this.#state, config);
    if (result.kind === "ignored") return result;
    const clusterChanged = result.kind === "new_cluster" && this.#state !== undefined;
    this.#state = result.state;
    this.#followed = [...this.#followed.filter((id) => id !== result.state.cluster.id), result.state.cluster.id].slice(-MOST_FOLLOWED);
    this.#etag = result.kind === "merged" && result.ignoredEntry ? "" : etag; // K1
    return { kind: "accepted", state: result.state, config: result.config, etag: this.#etag, clusterChanged };
  }
}
