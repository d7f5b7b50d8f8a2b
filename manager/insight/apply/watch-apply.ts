/**
 * A change on its way to the devices: counts, what changed, and a verdict.
 *
 * L1 A message comes at most every LEAST_MS, and at least every HEARTBEAT_MS; it holds the numbers as of when it is asked for.
 * L2 The device_groups that the targets reach are looked up when the feed names a device_group or a target, or had a gap, but at most every LOOK_MS,
 *    however many it names; and every HEARTBEAT_MS, so that a lost announcement delays it.
 * L3 Only device_groups that the caller may read now are counted: a change of the caller's rights counts at once.
 * L4 The verdict comes when no online device works or waits and no state changed for settle_ms, or at the timeout. Before it, what the targets reach is read
 *    again, and all devices that did not apply are: its numbers equal a recount from the store. If that brings a change, the wait goes on.
 * L5 A device that moves is in the view of its group of before until it reports from the other one, and is counted once: where it is connected.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Clock } from "../../../common/clock/clock.ts";
import { assertNoViolations } from "../../../common/errors/nebula-error.ts";
import type { ChangeFeed, FeedEvent } from "../../../common/feed/change-feed.ts";
import { isKept, isOnline, type Target } from "../../../common/insight/device-state.ts";
import { mapLimited } from "../../../common/map-limited.ts";
import { keyText } from "../../../common/storage/config-store.ts";
import type { ReportStore } from "../../../common/storage/report-store.ts";
import {
  type ApplyService,
  ApplyVerdict,
  DeviceStanding,
  type WatchApplyRequest,
  type WatchApplyResponseSchema,
} from "../../../gen/nebula/v1/apply_pb.ts";
import { TargetKind } from "../../../gen/nebula/v1/device_pb.ts";
import type { Principal } from "../../access/principal.ts";
import { assertPermitted, isPermitted } from "../../access/rights/permit.ts";
import { groupKey } from "../../access/rights/rights.ts";
import type { ServiceStreams, StreamContext } from "../../rpc/call-context.ts";
import type { DeviceInGroup, GroupView, GroupViews } from "../views/group-view.ts";
import { ApplyTally, type ChangedDevice } from "./apply-tally.ts";
import { keyOf, reachOf, resolveTargets, supersededOf, type TargetStore, validateWatchApply } from "./apply-targets.ts";

const LEAST_MS = 250;
const HEARTBEAT_MS = 10_000;
const LOOK_MS = 1000;
const SETTLE_MS = 10_000;
const TIMEOUT_MS = 5 * 60_000;
/** Views that are opened, or read again, at once. */
const AT_ONCE = 4;
/** Ends a wait: the reason of a signal that is aborted without one is an error with a stack. */
const CHANGED = "changed";
/** Devices of one stream whose own words are read: counts need none. */
const MOST_REASONS = 50;

export type WatchApplyParts = Readonly<{
  groupViews: GroupViews;
  configStore: TargetStore;
  reportStore: Pick<ReportStore, "getDevice">;
  changeFeed: Pick<ChangeFeed, "subscribe">;
  clock: Clock;
}>;

type Message = MessageInitShape<typeof WatchApplyResponseSchema>;
type Context = Pick<StreamContext, "principal" | "signal" | "keepAllowed">;

/** ApplyService: whether a change reached the devices. */
export function createApplyServiceStreams(parts: WatchApplyParts): ServiceStreams<typeof ApplyService> {
  return { watchApply: (request, context) => watchApply(parts, request, context) };
}

/** The messages of one WatchApply, the last one with a verdict. */
export async function* watchApply(parts: WatchApplyParts, request: WatchApplyRequest, context: Context): AsyncGenerator<Message, void> {
  const violations = validateWatchApply(request);
  assertNoViolations(violations);
  assertMayFollow(context.principal, request);
  const targets = await resolveTargets(parts.configStore, request.targets, context.signal);
  using following = new Following(parts, targets, context.principal, context.signal);
  context.keepAllowed((principal) => {
    assertMayFollow(principal, request);
    following.setPrincipal(principal);
  });
  const { clock } = parts;
  const settleMs = request.settleMs ?? SETTLE_MS;
  const deadline = clock.monotonic() + (request.timeoutMs ?? TIMEOUT_MS);
  const isDue = () => clock.monotonic() >= deadline || following.isSettled(settleMs);
  let sentAt = Number.NEGATIVE_INFINITY;
  for (;;) {
    await following.look();
    if (isDue()) {
      await following.readAgain(); // L4
      if (isDue()) {
        const verdict = following.verdict(); // of the same numbers as the message
        yield { ...(await following.message()), verdict };
        return;
      }
    }
    const now = clock.monotonic();
    const nextAt = sentAt + (following.hasNews ? LEAST_MS : HEARTBEAT_MS); // L1
    if (now >= nextAt) {
      yield await following.message();
      sentAt = clock.monotonic();
    } else await following.news(Math.min(nextAt, deadline, following.settlesAt(settleMs), following.looksAt) - now);
  }
}

/** The caller needs `ro` on each target. */
function assertMayFollow(principal: Principal, { targets }: WatchApplyRequest): void {
  for (const target of targets) assertPermitted(principal, { kind: "read", entity: keyOf(target) }, false);
}

type Group = Readonly<{ name: string; view: GroupView; targets: readonly Target[] }>;
type Joined = Group & Readonly<{ listening: Disposable }>;
/** A device as one group has it. */
type Copy = Readonly<{ group: Group; device: DeviceInGroup }>;
type Superseded = Awaited<ReturnType<typeof supersededOf>>;

/** The devices that targets reach, while a stream is open. */
class Following implements Disposable {
  readonly #parts: WatchApplyParts;
  readonly #targets: readonly Target[];
  readonly #signal: AbortSignal;
  readonly #keys: ReadonlySet<string>;
  readonly #groups = new Map<string, Joined>();
  /**
   * Ids of devices that are known to be in several of the groups, or without a report in one of them (L5): one copy of
   * each is counted. Of all others each copy is, so that no change of a device looks through all groups.
   */
  readonly #moving = new Set<string>();
  readonly #subscription: Disposable;
  #tally = new ApplyTally();
  #principal: Principal;
  #superseded: Superseded = new Map();
  #unseen = 0;
  #changedAt: number;
  #lookedAt = Number.NEGATIVE_INFINITY;
  /** When the reach is read next, milliseconds of the monotonic clock (L2). */
  #looksAt = Number.NEGATIVE_INFINITY;
  #reasons = MOST_REASONS;
  #wake = new AbortController();
  #disposed = false;
  /** Aborted when a view ends before this. */
  readonly #ended = new AbortController();
  hasNews = true;

  constructor(parts: WatchApplyParts, targets: readonly Target[], principal: Principal, signal: AbortSignal) {
    this.#parts = parts;
    this.#targets = targets;
    this.#principal = principal;
    this.#signal = AbortSignal.any([signal, this.#ended.signal]);
    this.#keys = new Set(targets.map((target) => keyText(keyOf(target))));
    this.#changedAt = parts.clock.monotonic();
    this.#subscription = parts.changeFeed.subscribe((event) => this.#onEvent(event));
  }

  setPrincipal(principal: Principal): void {
    this.#principal = principal;
    this.#lookAt(Number.NEGATIVE_INFINITY); // L3
  }

  #onEvent(event: FeedEvent): void {
    const concerns = event.kind === "entity" && (event.entity.kind === "device_group" || this.#keys.has(keyText(event.entity)));
    if (concerns || event.kind === "gap") this.#lookAt(this.#lookedAt + LOOK_MS); // L2
  }

  /** Reads the reach at that time, unless it is read before. */
  #lookAt(ms: number): void {
    if (ms >= this.#looksAt) return;
    this.#looksAt = ms;
    this.#wake.abort(CHANGED);
  }

  get looksAt(): number {
    return this.#looksAt;
  }

  /** Reads what the targets reach, if it is time to (L2). */
  async look(): Promise<void> {
    const { configStore, groupViews, clock } = this.#parts;
    const now = clock.monotonic();
    if (now < this.#looksAt) return;
    this.#lookedAt = now;
    this.#looksAt = now + HEARTBEAT_MS; // what is named from now on is read again
    const reach = await reachOf(configStore, this.#targets, this.#signal);
    const superseded = await supersededOf(configStore, this.#targets, this.#superseded, this.#signal);
    if (superseded.size !== this.#superseded.size || [...superseded].some(([key, value]) => this.#superseded.get(key) !== value)) this.hasNews = true;
    this.#superseded = superseded;
    const readable = [...reach].filter(([group]) => isPermitted(this.#principal, { kind: "read", entity: groupKey(group) }, false)); // L3
    const names = new Set(readable.map(([group]) => group));
    for (const name of [...this.#groups.keys()]) if (!names.has(name)) this.#leave(name);
    await mapLimited(readable, AT_ONCE, async ([name, targets]) => {
      const known = this.#groups.get(name);
      if (known !== undefined && sameTargets(known.targets, targets)) return;
      const view = known?.view ?? (await groupViews.open(name, this.#signal));
      if (this.#disposed) return view[Symbol.dispose]();
      if (known === undefined) view.ended.addEventListener("abort", () => this.#ended.abort(view.ended.reason), { once: true });
      if (view.ended.aborted) this.#ended.abort(view.ended.reason);
      if (known !== undefined) this.#uncount(known);
      this.#join(name, view, targets);
    });
    if (this.#unseen !== reach.size - readable.length) this.hasNews = true;
    this.#unseen = reach.size - readable.length;
  }

  #join(name: string, view: GroupView, targets: readonly Target[]): void {
    const group: Group = { name, view, targets };
    for (const device of view.devices.values()) this.#move(group, undefined, device, true);
    const listening = view.onChange((changes) => {
      let hasMoved = false;
      for (const { before, after } of changes) if (this.#move(group, before, after)) hasMoved = true;
      if (hasMoved) this.#changedAt = this.#parts.clock.monotonic();
      const isAwake = this.hasNews && !this.#isAtRest; // the next message is due soon, and no verdict
      this.hasNews = true;
      if (!isAwake) this.#wake.abort(CHANGED);
    });
    this.#groups.set(name, { ...group, listening });
    if (view.devices.size > 0) this.#changedAt = this.#parts.clock.monotonic();
    this.hasNews = true;
  }

  #uncount(group: Joined): void {
    group.listening[Symbol.dispose]();
    this.#groups.delete(group.name);
    for (const device of group.view.devices.values()) this.#move(group, device, undefined, true);
  }

  /**
   * Counts a change of a device in one group; answers whether it changed a state.
   * @param isQuiet whether the group comes or goes, and the device is as it was
   */
  #move(group: Group, before: DeviceInGroup | undefined, after: DeviceInGroup | undefined, isQuiet = false): boolean {
    const deviceId = (after ?? before)?.deviceId ?? "";
    const isNew = before === undefined && !isQuiet; // it may report from here before its connection is here
    const wasMoving = this.#moving.has(deviceId);
    const mayBeElsewhere = isNew || isSilent(before) || isSilent(after) || wasMoving;
    if (!mayBeElsewhere) return this.#recountIn(group, before, after, isQuiet);
    const others = this.#copies(deviceId, group);
    const had = before === undefined ? others : [{ group, device: before }, ...others];
    const has = after === undefined ? others : [{ group, device: after }, ...others];
    if (has.length > 1 || has.some(({ device }) => isSilent(device))) this.#moving.add(deviceId);
    else this.#moving.delete(deviceId);
    const [was, is] = [deciding(had), deciding(has)];
    const doubled = wasMoving ? [] : had.filter((copy) => copy.group.name !== was?.group.name);
    for (const copy of doubled) this.#tally.remove(copy.device, copy.group.targets);
    return this.#recount(was, is, isQuiet);
  }

  /** Counts a device as it is in place of as it was; answers whether its state changed. */
  #recount(was: Copy | undefined, is: Copy | undefined, isQuiet: boolean): boolean {
    const group = (is ?? was)?.group;
    if (group === undefined || was?.device === is?.device) return false;
    if (was === undefined || was.group.name === group.name) return this.#recountIn(group, was?.device, is?.device, isQuiet);
    this.#tally.remove(was.device, was.group.targets);
    this.#recountIn(group, undefined, is?.device, isQuiet);
    return true;
  }

  /** Counts a device of one group as it is in place of as it was; answers whether its state changed. For nearly all devices that change no object is made. */
  #recountIn({ name, targets }: Group, before: DeviceInGroup | undefined, after: DeviceInGroup | undefined, isQuiet: boolean): boolean {
    if (before === after) return false;
    if (!isQuiet) return this.#tally.change(before, after, name, targets);
    if (before !== undefined) this.#tally.remove(before, targets);
    if (after !== undefined) this.#tally.add(after, name, targets);
    return true;
  }

  /** The device as the other groups have it. */
  #copies(deviceId: string, { name }: Group): Copy[] {
    return [...this.#groups.values()].flatMap((group) => {
      const device = group.name === name ? undefined : group.view.devices.get(deviceId);
      return device === undefined ? [] : [{ group, device }];
    });
  }

  #leave(name: string): void {
    const group = this.#groups.get(name);
    if (group === undefined) return;
    this.#uncount(group);
    group.view[Symbol.dispose]();
    this.hasNews = true;
  }

  /** L4 */
  async readAgain(): Promise<void> {
    this.#looksAt = Number.NEGATIVE_INFINITY;
    await this.look();
    await mapLimited([...this.#groups.values()], AT_ONCE, ({ view }) => view.reread(this.#signal));
  }

  isSettled(settleMs: number): boolean {
    return this.#parts.clock.monotonic() >= this.settlesAt(settleMs);
  }

  /** When the verdict is due if nothing changes, milliseconds of the monotonic clock; infinity: some online device works or waits. */
  settlesAt(settleMs: number): number {
    return this.#isAtRest ? this.#changedAt + settleMs : Number.POSITIVE_INFINITY;
  }

  /** Whether no online device works or waits. */
  get #isAtRest(): boolean {
    const { working, waiting } = this.#tally.counts;
    return working + waiting === 0;
  }

  verdict(): ApplyVerdict {
    const { online, failed } = this.#tally.counts;
    if (!this.#isAtRest) return ApplyVerdict.UNFINISHED;
    if (online === 0 && !this.#targets.every(isKept)) return ApplyVerdict.NONE_ONLINE;
    return failed > 0 ? ApplyVerdict.FAILED : ApplyVerdict.APPLIED;
  }

  /** Resolves after `ms`, or when something changed. */
  async news(ms: number): Promise<void> {
    if (this.#wake.signal.aborted) this.#wake = new AbortController();
    else await this.#parts.clock.sleep(ms, AbortSignal.any([this.#signal, this.#wake.signal])).catch(() => {});
    this.#signal.throwIfAborted();
  }

  /** The numbers now, and what changed since the message before. */
  async message(): Promise<Message> {
    const { changed, more } = this.#tally.takeChanged();
    this.hasNews = false;
    const { devices, failures } = this.#tally;
    const { online, onlineApplied, ...states } = this.#tally.counts;
    const numbers = Object.fromEntries(Object.entries(states).map(([state, count]) => [state, BigInt(count)]));
    const message = {
      counts: { ...numbers, devices: BigInt(devices), online: BigInt(online), onlineApplied: BigInt(onlineApplied) },
      failures,
      moreChanged: more,
      unseenGroups: BigInt(this.#unseen),
      groups: BigInt(this.#groups.size),
      superseded: [...this.#superseded.values()],
      revisions: this.#targets.map(({ revision }) => revision),
    };
    return { ...message, changed: await this.#withReasons(changed) };
  }

  /** Adds the words of the devices that failed, of the first ones of the stream. */
  async #withReasons(changed: readonly ChangedDevice[]): Promise<ChangedDevice[]> {
    const asked = new Set(changed.filter(({ standing }) => standing === DeviceStanding.FAILED).slice(0, this.#reasons));
    if (asked.size === 0) return [...changed];
    this.#reasons -= asked.size;
    return mapLimited(changed, AT_ONCE, async (device) => (asked.has(device) ? { ...device, reason: await this.#reasonOf(device) } : device));
  }

  async #reasonOf({ deviceId, kind, name }: ChangedDevice): Promise<string> {
    const stored = await this.#parts.reportStore.getDevice(deviceId, this.#signal).catch(() => undefined);
    const { apps = [], cronJobs = [], problems = [] } = stored?.report ?? {};
    if (kind === TargetKind.DEVICE_GROUP) return problems.find(({ code }) => code === "prune_failed")?.message ?? "";
    return (kind === TargetKind.APP ? apps : cronJobs).find((target) => target.name === name)?.reason ?? "";
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#subscription[Symbol.dispose]();
    for (const { view, listening } of this.#groups.values()) {
      listening[Symbol.dispose]();
      view[Symbol.dispose]();
    }
    this.#groups.clear();
  }
}

function isSilent(device: DeviceInGroup | undefined): boolean {
  return device !== undefined && device.summary === undefined;
}

/** The copy of a device that is counted (L5); undefined for an empty list. */
function deciding(copies: readonly Copy[]): Copy | undefined {
  return copies.toSorted((a, b) => rank(a.device) - rank(b.device) || (a.group.name < b.group.name ? -1 : 1))[0];
}

/** Connected and not reported yet, connected, reported. */
function rank(device: DeviceInGroup): number {
  if (isOnline(device)) return device.summary === undefined ? 0 : 1;
  return device.summary === undefined ? 3 : 2;
}

function sameTargets(one: readonly Target[], other: readonly Target[]): boolean {
  return one.length === other.length && one.every((target, index) => target === other[index]);
}
