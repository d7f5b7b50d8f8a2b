import { assertNever } from "../common/errors/assert-never.ts";
import type { Log } from "../common/log/log.ts";
import type { Config } from "../gen/nebula/v1/config_pb.ts";
import type { ConfigKeeper } from "./config-keeper.ts";
import type { DeviceState } from "./device-state.ts";
import type { LastGood } from "./last-good.ts";
import type { Reconciler } from "./reconcile.ts";
import type { ReportSender } from "./report-sender.ts";
import type { WatchEvent } from "./watch-events.ts";

export type FollowOptions = Readonly<{
  keeper: ConfigKeeper;
  lastGood: LastGood;
  reconciler: Reconciler;
  sender: ReportSender;
  state: DeviceState;
  log: Log;
}>;

/** Turns what the connection tells into work, until it ends. A config is on the disk before its first step runs, where the disk takes it. */
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

async function accept(config: Config, etag: string, { keeper, lastGood, reconciler, sender, state, log }: FollowOptions): Promise<void> {
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
  const saved = await lastGood.saveConfig({ state: accepted.state, etag: accepted.etag, followed: keeper.followed });
  if (saved.kind === "not_saved") log.warn({ reason: saved.reason }, "the config can't be saved; going on in memory");
  log.info({ etag, apps: accepted.config.apps.length, cronJobs: accepted.config.cronJobs.length }, "a config came");
  state.configCame(etag);
  reconciler.setConfig(accepted.config, etag);
  sender.configCame();
}
