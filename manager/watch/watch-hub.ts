/**
 * Every watch of this shard, and its life: `open` registers it, the fan-out advances it at every change of its group, and it ends when its peer closes it,
 * another shard owns it, its credential is refused, its connection is silent, or this shard stops.
 *
 * W1 A stream registers before it looks at the config of its group: a change between the two finds it.
 * W2 If the last answer sent differs from the etag of the group and nothing is in flight, the newest answer is sent (group-watch.ts).
 * W3 and W4, and how devices are never sent an older config than before: group-lookups.ts.
 * H1 A watch is in its group, and among the devices, from #register to #remove: these two are also where the presence of a device begins and ends
 *    (manager/insight/presence/presence-writer.ts), which neither waits for.
 * H2 A device that a large fan-out sent a config to is not read until its turn comes (common/clock/turn-taking.ts): its report waits in the kernel meanwhile.
 *    So are all devices while more reports arrive than there is time for.
 * H3 A second watch of the same device and boot ends the first; whether its caller may do that is decided before it is opened (serve-watch.ts).
 */
import { setImmediate as turn } from "node:timers/promises";
import type { TurnTaking } from "../../common/clock/turn-taking.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { LinkedList } from "../../common/linked-list.ts";
import type { Member } from "../../common/membership/membership.ts";
import { type PolledMarks, renewPolledMarks } from "../../common/v2/polled-marks.ts";
import type { Login } from "../access/verified-credentials.ts";
import { redirectAnswer, type WatchAnswer } from "../config/config-answer.ts";
import type { PresenceWriter } from "../insight/presence/presence-writer.ts";
import { resumeReading, stopReading } from "../listen/connections.ts";
import { FanOut } from "./fan-out.ts";
import { GroupLookups, type GroupLookupsDeps } from "./group-lookups.ts";
import {
  type Connection,
  CrowdWarning,
  type EndReason,
  GroupWatch,
  type SilenceTimes,
  StreamSlot,
  type Watcher,
  watchSilence,
} from "./group-watch.ts";
import { drain, HandOver } from "./hand-over.ts";
import type { Ownership } from "./ownership.ts";
import { Reauthorisation, type ReauthorisationDeps } from "./reauthorisation.ts";
import type { WatchCall } from "./watch-call.ts";

export type WatchTuning = Readonly<{
  /** Streams that are written to in one turn of the event loop. */
  batch: number;
  silence: SilenceTimes;
}>;

export type WatchHubDeps = GroupLookupsDeps &
  Readonly<{
    ownership: Ownership;
    access: ReauthorisationDeps["access"];
    polledMarks: PolledMarks;
    presence: Pick<PresenceWriter, "opened" | "closed">;
    turns: TurnTaking;
    tuning: WatchTuning;
  }>;

export type OpenWatch = Readonly<{ call: WatchCall; deviceGroup: string; watcher: Watcher; etag: string; connection: Connection | undefined }>;

/**
 * The largest answer, bytes, whose device is not read for a while (H2): of a larger one HTTP/2 may have to wait for the device's window, which is read.
 */
const MOST_HELD_BYTES = 16_384;

/** Redirects without an address: the device waits (milliseconds, jittered), fetches the shard map and dials its first entry. */
const STOPPING = redirectAnswer("", 1000);
const MOVED = redirectAnswer("", 0);

export class WatchHub {
  readonly #deps: WatchHubDeps;
  readonly #groups = new Map<string, GroupWatch>();
  /** By device and boot. */
  readonly #devices = new Map<string, StreamSlot>();
  /** Streams whose connections are read, as far as they may be held (H2), in the order in which they came, or were read again. */
  readonly #read = new LinkedList<StreamSlot>();
  readonly #lookups: GroupLookups;
  readonly #fanOut: FanOut<StreamSlot, GroupWatch>;
  readonly #handOver: HandOver<GroupWatch, StreamSlot>;
  readonly #reauthorisation: Reauthorisation<StreamSlot>;
  readonly #crowd: CrowdWarning;
  readonly #life = new AbortController();
  #streams = 0;
  #draining = false;
  #stopping = false;

  constructor(deps: WatchHubDeps) {
    const { clock, metrics, tuning, ownership } = deps;
    const { signal } = this.#life;
    this.#deps = deps;
    deps.turns.onFlood((most) => this.#holdNewest(most));
    this.#crowd = new CrowdWarning(ownership, deps.log);
    this.#lookups = new GroupLookups(deps, this.#groups, (group, what) => this.#onLoaded(group, what), signal);
    this.#fanOut = new FanOut({
      batch: tuning.batch,
      begin: () => this.#lookups.checkStandstill(),
      offer: (stream, now) => this.#offerInTurn(stream, now),
      done: (group) => metrics.fannedOut((clock.monotonic() - group.changedAt) / 1000),
      turns: deps.turns,
    });
    const handOverTarget = {
      groups: () => this.#groups.values(),
      receiver: (stream: StreamSlot) => this.#redirectTarget(stream),
      greeted: (stream: StreamSlot) => stream.greeted,
      redirect: (stream: StreamSlot, to: Member) => this.#finish(stream, "redirected", redirectAnswer(to.address, 0)),
      end: (stream: StreamSlot) => this.#endIfMoved(stream),
      members: () => ownership.members.length,
      looked: (streams: number) => metrics.looked(streams),
    };
    this.#handOver = new HandOver(clock, handOverTarget, signal);
    const refuse = (stream: StreamSlot, error: NebulaError) => this.#refuse(stream, error);
    this.#reauthorisation = new Reauthorisation({ ...deps, usersWithinMs: deps.cacheTimeMs, signal }, refuse);
    const membership = ownership.onChange(() => this.#handOver.checkAll());
    signal.addEventListener("abort", () => membership[Symbol.dispose]());
    const onSilent = (stream: StreamSlot, why: "silent" | "unanswered") => this.#dropConnection(stream, why);
    void renewPolledMarks(() => this.#polledHere(), { marks: deps.polledMarks, clock, signal });
    void watchSilence(() => this.#allStreams(), onSilent, { clock, times: tuning.silence, signal });
  }

  /** The groups that are watched here, by name. */
  groupNames(): readonly string[] {
    return [...this.#groups.keys()];
  }

  /** Open watches. */
  get streams(): number {
    return this.#streams;
  }

  /** Watched groups. */
  get groups(): number {
    return this.#groups.size;
  }

  /** The reads for watches that are under way or wait. */
  get queued(): GroupLookups["queued"] {
    return this.#lookups.queued;
  }

  /** Streams that wait for their end, because another shard owns them. */
  get leaving(): number {
    return this.#handOver.waiting;
  }

  /** Returns the `spread` of a device_group; undefined if it is not watched here, or is being loaded. */
  spreadOf(deviceGroup: string): number | undefined {
    return this.#groups.get(deviceGroup)?.loaded?.spread;
  }

  /** Returns the open watch of a device and boot. */
  watchOf(deviceId: string, boot: string): Pick<StreamSlot, "watcher" | "group"> | undefined {
    return deviceId === "" ? undefined : this.#devices.get(`${deviceId}/${boot}`);
  }

  /** Whether a gateway follows a device_group for workers of the original that poll it: here, or on another shard as far as that is known. */
  async isPolled(deviceGroup: string): Promise<boolean> {
    return (this.#groups.get(deviceGroup)?.gateways ?? 0) > 0 || (await this.#deps.polledMarks.isMarked(deviceGroup));
  }

  /** Reads the credential of an open watch again where access has changed since it was read; undefined: it counts as it is. */
  renew(login: Login): Promise<void> | undefined {
    return this.#reauthorisation.renew(login);
  }

  // --- the life of a watch

  /** Serves a watch: its device is sent the config of its group now and at every change, until one of the two ends it. */
  open({ call, deviceGroup, watcher, etag, connection }: OpenWatch): void {
    if (call.cancelled) return;
    if (this.#stopping) {
      call.opened(() => {});
      call.write(STOPPING, () => {});
      call.end();
      return;
    }
    const now = this.#lookups.checkStandstill();
    const group = this.#groups.get(deviceGroup) ?? this.#addGroup(deviceGroup);
    const stream = new StreamSlot({ call, group, watcher, connection, etag, openedAt: this.#deps.ownership.version, now });
    this.#register(stream); // W1
    call.opened(() => this.#remove(stream, "closed"));
    this.#reauthorisation.opened(stream);
    if (group.answer !== undefined) this.#offer(stream, now);
    else if (!this.#ownsNothing || !this.#redirect(stream)) this.#lookups.enqueue(group);
  }

  #addGroup(name: string): GroupWatch {
    const group = new GroupWatch(name, (stream) => this.#advance(stream, this.#lookups.checkStandstill()));
    this.#groups.set(name, group);
    return group;
  }

  #register(stream: StreamSlot): void {
    stream.group.streams.add(stream); // H1
    if (stream.watcher.viaPart && stream.group.gateways++ === 0) void this.#deps.polledMarks.mark([stream.group.name]);
    this.#streams++;
    if (mayBeHeld(stream)) stream.read = this.#read.add(stream);
    this.#crowd.entered(stream.group);
    const { deviceId, workerVersion } = stream.watcher;
    if (isPresence(stream.watcher)) this.#deps.presence.opened(stream.group.name, deviceId, workerVersion);
    const key = deviceKey(stream.watcher);
    if (key === undefined) return;
    const older = this.#devices.get(key);
    this.#devices.set(key, stream);
    if (older === undefined) return;
    older.fail(new NebulaError("conflict", "a newer watch of the same device and boot replaces this one")); // H3
    this.#remove(older, "replaced");
  }

  #onLoaded(group: GroupWatch, { moved, changed }: { moved: boolean; changed: boolean }): void {
    if (moved && this.#deps.ownership.shared) this.#handOver.check(group);
    if (!changed) return;
    group.changedAt = this.#deps.clock.monotonic();
    this.#fanOut.start(group);
  }

  /** Sends the newest answer of its group to a stream; redirects it if it was sent none yet, and another shard owns it. Returns whether a config was sent. */
  #offer(stream: StreamSlot, now: number): boolean {
    return (stream.greeted || !this.#redirect(stream)) && this.#advance(stream, now);
  }

  #advance(stream: StreamSlot, now: number): boolean {
    const isSent = stream.advance(now);
    if (isSent) this.#deps.metrics.pushed();
    return isSent;
  }

  /** H2 */
  #offerInTurn(stream: StreamSlot, now: number): void {
    const { group } = stream;
    if (!this.#offer(stream, now)) return;
    if (group.streams.size > this.#deps.tuning.batch && (group.answer?.frame.length ?? 0) <= MOST_HELD_BYTES) this.#hold(stream);
  }

  /** H2: a gateway's connection is read on, others wait for it. */
  #hold(stream: StreamSlot): void {
    const { turns } = this.#deps;
    const { connection } = stream;
    if (connection === undefined || !mayBeHeld(stream) || turns.isHeld(connection) || !stopReading(connection)) return;
    this.#leaveRead(stream);
    turns.hold(connection, () => {
      resumeReading(connection);
      if (!stream.ended) stream.read = this.#read.add(stream);
    });
  }

  /** Holds some of the connections that are read: those that came last, or were read again last, have the most to say. */
  #holdNewest(most: number): void {
    let left = most;
    for (const stream of this.#read.fromLast()) {
      if (left-- === 0) return;
      this.#hold(stream);
    }
  }

  #leaveRead(stream: StreamSlot): void {
    if (stream.read !== undefined) this.#read.remove(stream.read);
    stream.read = undefined;
  }

  #remove(stream: StreamSlot, reason: EndReason): void {
    const { group } = stream;
    if (!group.streams.delete(stream)) return; // H1: removed already
    stream.markEnded();
    this.#leaveRead(stream);
    this.#reauthorisation.closed(stream);
    if (stream.watcher.viaPart) group.gateways--;
    this.#streams--;
    this.#crowd.left(group);
    if (isPresence(stream.watcher)) this.#deps.presence.closed(stream.watcher.deviceId, reason === "redirected");
    const key = deviceKey(stream.watcher);
    if (key !== undefined && this.#devices.get(key) === stream) this.#devices.delete(key);
    this.#deps.metrics.ended(reason);
    if (group.streams.size > 0) return;
    this.#groups.delete(group.name);
    this.#lookups.forget(group);
    this.#fanOut.forget(group);
  }

  // --- why this shard ends a watch

  #finish(stream: StreamSlot, reason: EndReason, last: WatchAnswer): void {
    stream.finish(last);
    this.#remove(stream, reason);
  }

  #refuse(stream: StreamSlot, error: NebulaError): void {
    stream.fail(error);
    this.#remove(stream, "refused");
  }

  #dropConnection(stream: StreamSlot, why: "silent" | "unanswered"): void {
    if (this.#deps.turns.isHeld(stream.connection)) return; // H2: it may have said much
    this.#remove(stream, why);
    stream.connection?.destroy();
  }

  /** Whether no group is this shard's, of any `spread`: its devices need not wait until the group is loaded. */
  get #ownsNothing(): boolean {
    return this.#draining || this.#deps.ownership.ownsNothing;
  }

  /** Returns the shard that should serve a watch; undefined if it is this one. */
  #redirectTarget({ watcher, group, openedAt }: StreamSlot): Member | undefined {
    const { ownership } = this.#deps;
    if (this.#draining) return ownership.successor(group.name, group.loaded?.spread ?? 1, spreadId(watcher));
    const stays = watcher.viaPart || watcher.serveHere;
    if (stays && openedAt === ownership.version) return undefined;
    return ownership.redirectTarget(group.name, group.loaded?.spread ?? 1, spreadId(watcher));
  }

  /** Redirects a watch if another shard should serve it, and returns whether it did. */
  #redirect(stream: StreamSlot): boolean {
    const owner = this.#redirectTarget(stream);
    if (owner === undefined) return false;
    this.#finish(stream, "redirected", redirectAnswer(owner.address, 0));
    return true;
  }

  /** Ends a watch if another shard should serve it, and returns whether it did; the device fetches the shard map. */
  #endIfMoved(stream: StreamSlot): boolean {
    if (stream.ended || this.#redirectTarget(stream) === undefined) return false;
    this.#finish(stream, "redirected", MOVED);
    return true;
  }

  // --- the end of this shard

  /**
   * Ends every watch, paced, within `withinMs`: its device fetches the shard map, which does not list this shard any more. A watch that opens meanwhile is
   * redirected at once.
   */
  async drain(withinMs: number, signal: AbortSignal): Promise<void> {
    this.#draining = true;
    const end = (stream: StreamSlot) => {
      if (!stream.ended) this.#finish(stream, "redirected", MOVED);
    };
    await drain(this.#allStreams(), { withinMs, clock: this.#deps.clock, signal: AbortSignal.any([signal, this.#life.signal]), end });
  }

  /** Ends every watch: its device reconnects after a while, to this shard or another. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#life.abort();
    let ended = 0;
    for (const stream of this.#allStreams()) {
      this.#finish(stream, "stopping", STOPPING);
      if (++ended % this.#deps.tuning.batch === 0) await turn();
    }
    await this.#reauthorisation.done;
  }

  *#polledHere(): Generator<string> {
    for (const { name, gateways } of this.#groups.values()) if (gateways > 0) yield name;
  }

  *#allStreams(): Generator<StreamSlot> {
    for (const group of this.#groups.values()) yield* group.streams;
  }
}

/** Returns the device_id by which `spread` splits a group; undefined if `spread` does not apply to the watch. */
function spreadId(watcher: Watcher): string | undefined {
  return isPresence(watcher) ? watcher.deviceId : undefined;
}

/** Whether a connection may stop being read (H2): it is of one device. */
function mayBeHeld({ connection, watcher }: StreamSlot): boolean {
  return connection !== undefined && isPresence(watcher);
}

/** Whether a watch shows that its device is connected: one of a gateway, or without a device_id, does not. */
function isPresence({ viaPart, deviceId }: Watcher): boolean {
  return !viaPart && deviceId !== "";
}

function deviceKey({ deviceId, boot }: Watcher): string | undefined {
  return deviceId === "" ? undefined : `${deviceId}/${boot}`;
}
