import { GroupCounting } from "../../insight/views/group-counting.ts";
import { type DeviceChange, type GroupView, withoutMove } from "../../insight/views/group-view.ts";
import type { GroupConfig, GroupInFleet } from "./fleet-view.ts";
import { GroupStanding } from "./group-standing.ts";

/** A group, its view while that is open, and its numbers. */
export class FollowedGroup implements GroupInFleet {
  readonly deviceGroup: string;
  readonly #changed: () => void;
  #held: DisposableStack | undefined;
  #view: GroupView | undefined;
  #counting: GroupCounting<GroupStanding> | undefined;
  #neverCame = new Set<string>();
  config: GroupConfig | undefined;
  standing: GroupStanding | undefined;
  isUncounted = false;
  stamp = 0;
  /** Whether its config was read. */
  isRead = false;
  /** Whether its config has to be read. */
  isStale = true;
  /** When a reader wanted it last, milliseconds of the monotonic clock. */
  wantedAt = Number.NEGATIVE_INFINITY;
  /** When it was counted last with its config, or was found to have no room, milliseconds of the monotonic clock; undefined: it was not. */
  countedAt: number | undefined;

  constructor(deviceGroup: string, changed: () => void) {
    this.deviceGroup = deviceGroup;
    this.#changed = changed;
  }

  /** Whether its numbers follow its view. */
  get isLive(): boolean {
    return this.#view !== undefined;
  }

  get neverCame(): number {
    return this.#neverCame.size;
  }

  /** Takes another config; the devices of a group that is not live are counted with it next. */
  async setConfig(config: GroupConfig | undefined, signal: AbortSignal): Promise<void> {
    this.config = config;
    this.isRead = true;
    if (this.#view === undefined) this.countedAt = undefined;
    else await this.#recount(this.#view, signal);
    this.#note();
  }

  /** Counts the devices of a view, and follows it from then on. The view is the group's now. Rejects with the reason of its end. */
  async follow(view: GroupView, signal: AbortSignal): Promise<void> {
    const held = new DisposableStack();
    this.#held = held;
    this.#view = held.use(view);
    held.use(view.onChange((changes) => this.#take(changes)));
    const onEnd = () => this.close(); // it is counted again later
    view.ended.addEventListener("abort", onEnd, { once: true });
    held.defer(() => view.ended.removeEventListener("abort", onEnd));
    view.ended.throwIfAborted();
    await this.#recount(view, signal);
    view.ended.throwIfAborted();
    this.isUncounted = false;
    this.#note();
  }

  async setNeverCame(read: (view: GroupView) => Promise<Set<string>>): Promise<void> {
    const view = this.#view;
    if (view === undefined) return;
    const ids = await read(view);
    for (const id of ids) if (view.devices.has(id)) ids.delete(id); // it came meanwhile
    if (ids.size !== this.#neverCame.size) this.#note();
    this.#neverCame = ids;
  }

  /** There is no room for its devices. @param at monotonic milliseconds */
  setUncounted(at: number): void {
    this.countedAt = at;
    this.standing = undefined;
    this.#neverCame = new Set();
    this.isUncounted = true;
    this.#note();
  }

  /** Leaves its view; the numbers stay. */
  close(): void {
    this.#held?.dispose();
    this.#held = undefined;
    this.#view = undefined;
    this.#counting = undefined;
  }

  /** The numbers of before stay until all devices were counted. */
  async #recount(view: GroupView, signal: AbortSignal): Promise<void> {
    const counting = new GroupCounting(new GroupStanding(this.deviceGroup, this.config?.newest));
    this.#counting = counting;
    try {
      await counting.run(view.devices, signal);
      this.standing = counting.standing;
    } finally {
      if (this.#counting === counting) this.#counting = undefined;
    }
  }

  #take(changes: readonly DeviceChange[]): void {
    for (const change of changes) {
      if (this.#counting !== undefined) this.#counting.change(change);
      else this.standing?.change(withoutMove(change));
      if (change.after !== undefined) this.#neverCame.delete(change.after.deviceId);
    }
    this.#note();
  }

  #note(): void {
    this.stamp++;
    this.#changed();
  }
}
