/**
 * The device_groups that are polled now, each with one watch of the gateway's own.
 *
 * D1 A group without a poll for a minute is dropped, its watch ended.
 * D2 At most so many groups; one more takes the place of the one that was polled longest ago.
 */
import type { Clock } from "../../../common/clock/clock.ts";
import { messageOf } from "../../../common/errors/nebula-error.ts";
import type { Log } from "../../../common/log/log.ts";
import type { ManagerPool } from "../../manager-pool.ts";
import { followGroup } from "./follow-group.ts";
import { PolledGroup } from "./polled-group.ts";

export const UNPOLLED_KEPT_MS = 60_000;
const LOOK_EVERY_MS = 5000;

export type PolledGroupsDeps = Readonly<{
  pool: Pick<ManagerPool, "serverStream">;
  partToken: string;
  clock: Clock;
  log: Log;
  mostGroups?: number;
}>;

type Followed = Readonly<{ group: PolledGroup; end: AbortController }>;

export class PolledGroups {
  readonly #deps: PolledGroupsDeps;
  readonly #mostGroups: number;
  readonly #stopping: AbortSignal;
  /** By name. */
  readonly #followed = new Map<string, Followed>();

  /** Watches until the signal is aborted. */
  constructor(deps: PolledGroupsDeps, stopping: AbortSignal) {
    this.#deps = deps;
    this.#mostGroups = deps.mostGroups ?? 10_000;
    this.#stopping = stopping;
    void this.#dropUnpolled();
  }

  /** Groups that are watched now. */
  get size(): number {
    return this.#followed.size;
  }

  /** The group where it is watched already, counted as polled now. */
  known(deviceGroup: string): PolledGroup | undefined {
    const group = this.#followed.get(deviceGroup)?.group;
    if (group !== undefined) group.polledAt = this.#deps.clock.monotonic();
    return group;
  }

  /** The group, watched from now on, counted as polled now. */
  polled(deviceGroup: string): PolledGroup {
    const known = this.known(deviceGroup);
    if (known !== undefined) return known;
    if (this.#followed.size >= this.#mostGroups) this.#dropLongestUnpolled(); // D2
    const { clock, log } = this.#deps;
    const group = new PolledGroup({ deviceGroup, clock, log });
    const end = new AbortController();
    this.#followed.set(deviceGroup, { group, end });
    const heard = (news: Parameters<PolledGroup["heard"]>[0]) => group.heard(news);
    const follow = { ...this.#deps, deviceGroup, etag: () => group.etag, heard };
    followGroup(follow, AbortSignal.any([this.#stopping, end.signal])).catch((error: unknown) => {
      log.error({ deviceGroup, error: messageOf(error) }, "following a polled device_group failed by a fault of ours");
      this.#drop(deviceGroup);
    });
    return group;
  }

  #drop(deviceGroup: string): void {
    this.#followed.get(deviceGroup)?.end.abort();
    this.#followed.delete(deviceGroup);
  }

  #dropLongestUnpolled(): void {
    let longest: { name: string; polledAt: number } | undefined;
    for (const [name, { group }] of this.#followed)
      if (longest === undefined || group.polledAt < longest.polledAt) longest = { name, polledAt: group.polledAt };
    if (longest !== undefined) this.#drop(longest.name);
  }

  async #dropUnpolled(): Promise<void> {
    const { clock } = this.#deps;
    while (!this.#stopping.aborted) {
      await clock.sleep(LOOK_EVERY_MS, this.#stopping).catch(() => {});
      for (const [name, { group }] of this.#followed) if (clock.monotonic() - group.polledAt > UNPOLLED_KEPT_MS) this.#drop(name); // D1
    }
  }
}
