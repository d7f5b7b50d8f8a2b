/**
 * Every watch of this shard, by device_group.
 *
 * W1 A stream registers before it looks at its group's config: a change between the two finds it.
 * W2 When what was last sent differs from the group's etag and nothing is in flight, the newest is sent (stream-slot.ts).
 * W3 and W4, and what keeps devices from being told anything old: group-lookups.ts.
 * H1 A watch is in its group, and among the devices, from #register to #remove: these two are also where a device's presence begins and ends.
 * H3 A device's second watch with the same boot ends its first; whether its caller may do that is decided before it is opened (serve-watch.ts).
 */
import { setImmediate as turn } from "node:timers/promises";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { FanOut } from "./fan-out.ts";
import { GroupLookups, type GroupLookupsDeps } from "./group-lookups.ts";
import { type GroupHub, GroupWatch } from "./group-watch.ts";
import type { Ownership } from "./ownership.ts";
import { PacedEnds } from "./paced-ends.ts";
import { Reauthorisation, type ReauthorisationDeps } from "./reauthorisation.ts";
import { type SilenceTimes, watchSilence } from "./silence.ts";
import { type Connection, type EndReason, StreamSlot, type Watcher } from "./stream-slot.ts";
import { redirectAnswer, type WatchAnswer } from "./watch-answer.ts";
import type { WatchCall } from "./watch-call.ts";

export type WatchTuning = Readonly<{
  /** Streams that are written to in one turn of the event loop. */
  batch: number;
  silence: SilenceTimes;
}>;

export type WatchHubDeps = GroupLookupsDeps & Readonly<{ ownership: Ownership; access: ReauthorisationDeps["access"]; tuning: WatchTuning }>;

/** What a watch is opened with. */
export type OpenWatch = Readonly<{ call: WatchCall; deviceGroup: string; watcher: Watcher; etag: string; connection: Connection | undefined }>;

type Stream = StreamSlot<GroupWatch>;

/** The device waits for as long (milliseconds, jittered), asks for the shard map and dials its first: this shard stops, or is not the device's any more. */
const STOPPING = redirectAnswer("", 1000);
const MOVED = redirectAnswer("", 0);

export class WatchHub implements GroupHub {
  readonly #deps: WatchHubDeps;
  readonly #groups = new Map<string, GroupWatch>();
  /** By device and boot. */
  readonly #devices = new Map<string, Stream>();
  readonly #lookups: GroupLookups;
  readonly #fanOut: FanOut<Stream, GroupWatch>;
  readonly #lost: PacedEnds<Stream>;
  readonly #reauthorisation: Reauthorisation<Stream>;
  readonly #life = new AbortController();
  #streams = 0;
  #membershipChanges = 0;
  #stopping = false;

  constructor(deps: WatchHubDeps) {
    const { clock, metrics, tuning, ownership } = deps;
    const { signal } = this.#life;
    this.#deps = deps;
    const target = {
      groups: () => this.#groups.values(),
      watched: (group: GroupWatch) => !this.#stopping && this.#groups.get(group.name) === group,
      found: (group: GroupWatch, what: { moved: boolean; changed: boolean }) => this.#onFound(group, what),
    };
    this.#lookups = new GroupLookups(deps, target, signal);
    this.#fanOut = new FanOut(tuning.batch, (group) => metrics.fannedOut((clock.monotonic() - group.changedAt) / 1000));
    this.#lost = new PacedEnds(clock, (stream) => this.#sendAway(stream), signal);
    const watches = { streams: () => this.#allStreams(), refuse: (stream: Stream, error: NebulaError) => this.#refuse(stream, error) };
    this.#reauthorisation = new Reauthorisation({ ...deps, withinMs: deps.cacheTimeMs, signal }, watches);
    const membership = ownership.onChange(() => this.#onMembershipChange());
    signal.addEventListener("abort", () => membership[Symbol.dispose]());
    const onSilent = (stream: Stream, why: "silent" | "unanswered") => this.#dropConnection(stream, why);
    void watchSilence(() => this.#allStreams(), onSilent, { clock, times: tuning.silence, signal });
  }

  /** Open watches. */
  get streams(): number {
    return this.#streams;
  }

  /** Watched groups. */
  get groups(): number {
    return this.#groups.size;
  }

  /** The open watch of a device and boot. */
  watchOf(deviceId: string, boot: string): Pick<Stream, "watcher" | "group"> | undefined {
    return deviceId === "" ? undefined : this.#devices.get(`${deviceId}/${boot}`);
  }

  now(): number {
    return Math.trunc(this.#deps.clock.monotonic());
  }

  pushed(): void {
    this.#deps.metrics.pushed();
  }

  standstill(): boolean {
    return this.#lookups.standstill();
  }

  /** Whether a gateway follows a device_group here, since workers of the original poll it. */
  isPolled(deviceGroup: string): boolean {
    return (this.#groups.get(deviceGroup)?.gateways ?? 0) > 0;
  }

  /** Takes a watch over: its device is told its group's config now and at every change, until one of the two ends it. */
  open({ call, deviceGroup, watcher, etag, connection }: OpenWatch): void {
    if (call.cancelled) return;
    if (this.#stopping) {
      call.opened(() => {});
      call.write(STOPPING, () => {});
      call.end();
      return;
    }
    const group = this.#groups.get(deviceGroup) ?? this.#addGroup(deviceGroup);
    const stream = new StreamSlot(call, group, watcher, connection, etag, this.#membershipChanges);
    this.#register(stream); // W1
    call.opened(() => this.#remove(stream, "closed"));
    this.#reauthorisation.opened(watcher.login);
    if (group.answer === undefined) this.#lookups.want(group);
    else if (!this.#redirect(stream)) stream.advance();
  }

  /** Ends every watch: its device comes back after a while, here or elsewhere. */
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

  #addGroup(name: string): GroupWatch {
    const group = new GroupWatch(name, this);
    this.#groups.set(name, group);
    return group;
  }

  #register(stream: Stream): void {
    stream.group.streams.add(stream); // H1
    if (stream.watcher.viaPart) stream.group.gateways++;
    this.#streams++;
    const key = deviceKey(stream.watcher);
    if (key === undefined) return;
    const older = this.#devices.get(key);
    this.#devices.set(key, stream);
    if (older === undefined) return;
    older.fail(new NebulaError("conflict", "a newer watch of the same device and boot takes the place of this one")); // H3
    this.#remove(older, "replaced");
  }

  #remove(stream: Stream, reason: EndReason): void {
    const { group } = stream;
    if (!group.streams.delete(stream)) return; // H1: it left already
    stream.gone();
    if (stream.watcher.viaPart) group.gateways--;
    this.#streams--;
    const key = deviceKey(stream.watcher);
    if (key !== undefined && this.#devices.get(key) === stream) this.#devices.delete(key);
    this.#deps.metrics.ended(reason);
    if (group.streams.size > 0) return;
    this.#groups.delete(group.name);
    this.#lookups.forget(group);
    this.#fanOut.forget(group);
  }

  #finish(stream: Stream, reason: EndReason, last: WatchAnswer): void {
    stream.finish(last);
    this.#remove(stream, reason);
  }

  #refuse(stream: Stream, error: NebulaError): void {
    stream.fail(error);
    this.#remove(stream, "refused");
  }

  #dropConnection(stream: Stream, why: "silent" | "unanswered"): void {
    this.#remove(stream, why);
    stream.connection?.destroy();
  }

  *#allStreams(): Generator<Stream> {
    for (const group of this.#groups.values()) yield* group.streams;
  }

  #onFound(group: GroupWatch, { moved, changed }: { moved: boolean; changed: boolean }): void {
    if (moved) this.#dismissLost(group);
    if (!changed) return;
    group.changedAt = this.#deps.clock.monotonic();
    this.#fanOut.start(group);
  }

  // --- whose the devices are

  #onMembershipChange(): void {
    this.#membershipChanges++;
    for (const group of this.#groups.values()) this.#dismissLost(group);
  }

  /** The address of the shard that should serve a watch; undefined: this one. */
  #elsewhere({ watcher, group, openedAt }: Stream): string | undefined {
    const stays = watcher.viaPart || watcher.serveHere;
    if (stays && openedAt === this.#membershipChanges) return undefined;
    const device = watcher.viaPart || watcher.deviceId === "" ? undefined : watcher.deviceId;
    return this.#deps.ownership.elsewhere(group.name, group.loaded?.spread ?? 1, device);
  }

  /** Sends a watch that has no answer yet to the shard that should serve it, if that is another. */
  #redirect(stream: Stream): boolean {
    const address = this.#elsewhere(stream);
    if (address === undefined) return false;
    this.#finish(stream, "redirected", redirectAnswer(address, 0));
    return true;
  }

  /** Sends away whoever should be elsewhere: at once who has no answer yet, the others paced. */
  #dismissLost(group: GroupWatch): void {
    const lost = [...group.streams].filter((stream) => this.#elsewhere(stream) !== undefined);
    this.#lost.add(lost.filter((stream) => stream.greeted || !this.#redirect(stream)));
  }

  #sendAway(stream: Stream): void {
    if (!stream.ended && this.#elsewhere(stream) !== undefined) this.#finish(stream, "redirected", MOVED);
  }
}

function deviceKey({ deviceId, boot }: Watcher): string | undefined {
  return deviceId === "" ? undefined : `${deviceId}/${boot}`;
}
