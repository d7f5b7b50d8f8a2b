/**
 * The device_groups that are polled now, each with one watch of the gateway's own.
 *
 * D1 A group without a poll for a minute is dropped, its watch ended.
 * D2 The number of groups is bounded; a further one that exists takes the place of the one that was polled longest ago.
 * D3 A name without a group holds no watch and takes no place of a group: it is dropped as soon as a manager answers so,
 *    and remembered for a second. Names that no manager has answered yet are bounded by themselves.
 */
import { BoundedMap } from "../../../common/bounded-map.ts";
import type { Clock } from "../../../common/clock/clock.ts";
import { messageOf, NebulaError } from "../../../common/errors/nebula-error.ts";
import type { Log } from "../../../common/log/log.ts";
import type { ManagerPool } from "../../managers/manager-pool.ts";
import { followGroup, type GroupNews } from "./follow-group.ts";
import { PolledGroup } from "./polled-group.ts";

export const UNPOLLED_KEPT_MS = 60_000;
const LOOK_EVERY_MS = 5000;

export type PolledGroupsDeps = Readonly<{
  pool: Pick<ManagerPool, "serverStream">;
  partToken: string;
  clock: Clock;
  log: Log;
  mostGroups?: number;
  /** The most names that no manager has answered yet. */
  mostUnknown?: number;
}>;

/** For how long a name without a group is remembered, and the most such names. */
const ABSENT_MS = 1000;
const MOST_ABSENT = 1000;

type Followed = {
  readonly group: PolledGroup;
  readonly end: AbortController;
  /** Whether a manager has answered that the group exists. */
  exists: boolean;
};

export class PolledGroups {
  readonly #deps: PolledGroupsDeps;
  readonly #mostGroups: number;
  readonly #mostUnknown: number;
  readonly #stopping: AbortSignal;
  /** By name. */
  readonly #followed = new Map<string, Followed>();
  /** Groups among them that exist. */
  #existing = 0;
  /** Names without a group, with the monotonic time until which they are remembered; the oldest first. */
  readonly #absent = new BoundedMap<string, number>(MOST_ABSENT);

  /** Watches until the signal is aborted. */
  constructor(deps: PolledGroupsDeps, stopping: AbortSignal) {
    this.#deps = deps;
    this.#mostGroups = deps.mostGroups ?? 10_000;
    this.#mostUnknown = deps.mostUnknown ?? 2000;
    this.#stopping = stopping;
    void this.#dropUnpolled();
  }

  /** Groups that are watched now. */
  get size(): number {
    return this.#followed.size;
  }

  /** The group if it is watched already, counted as polled now; undefined otherwise. */
  known(deviceGroup: string): PolledGroup | undefined {
    const group = this.#followed.get(deviceGroup)?.group;
    if (group !== undefined) group.polledAt = this.#deps.clock.monotonic();
    return group;
  }

  /** Whether a manager answered a moment ago that there is no such group. */
  isAbsent(deviceGroup: string): boolean {
    return (this.#absent.get(deviceGroup) ?? Number.NEGATIVE_INFINITY) > this.#deps.clock.monotonic();
  }

  /** The group, watched from now on, counted as polled now. Throws `unavailable` if too many names wait for their first answer. */
  polled(deviceGroup: string): PolledGroup {
    const known = this.known(deviceGroup);
    if (known !== undefined) return known;
    if (this.#followed.size - this.#existing >= this.#mostUnknown)
      throw new NebulaError("unavailable", "too many device_groups are polled for the first time: call again in a moment", { retryAfterMs: 1000 }); // D3
    const { clock, log } = this.#deps;
    const group = new PolledGroup({ deviceGroup, clock, log });
    const end = new AbortController();
    const followed: Followed = { group, end, exists: false };
    this.#followed.set(deviceGroup, followed);
    const heard = (news: GroupNews) => {
      group.heard(news);
      if (this.#followed.get(deviceGroup) === followed) this.#judge(deviceGroup, followed, news);
    };
    const follow = { ...this.#deps, deviceGroup, etag: () => group.etag, heard };
    followGroup(follow, AbortSignal.any([this.#stopping, end.signal])).catch((error: unknown) => {
      log.error({ deviceGroup, error: messageOf(error) }, "unhandled error while following a polled device_group");
      this.#drop(deviceGroup);
    });
    return group;
  }

  #judge(deviceGroup: string, followed: Followed, { kind }: GroupNews): void {
    if (kind === "no_such_group") {
      this.#drop(deviceGroup); // D3
      this.#absent.set(deviceGroup, this.#deps.clock.monotonic() + ABSENT_MS);
    } else if (kind !== "lost" && !followed.exists) {
      if (this.#existing >= this.#mostGroups) this.#dropLongestUnpolled(); // D2
      followed.exists = true;
      this.#existing++;
    }
  }

  #drop(deviceGroup: string): void {
    const followed = this.#followed.get(deviceGroup);
    if (followed === undefined) return;
    if (followed.exists) this.#existing--;
    this.#followed.delete(deviceGroup);
    followed.end.abort();
  }

  #dropLongestUnpolled(): void {
    let longest: { name: string; polledAt: number } | undefined;
    for (const [name, { group, exists }] of this.#followed)
      if (exists && (longest === undefined || group.polledAt < longest.polledAt)) longest = { name, polledAt: group.polledAt };
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
