/**
 * One device_group that is watched on this shard, and its streams: the answer of the group, and what each stream was sent of it.
 *
 * S1 At most one write of a stream is in flight.
 * S2 A stream has no queue. When its write is done it sends the newest answer of its group, if that is another one (latest wins). So a device that does not
 *    read costs the one message that is in flight.
 * S3 Nothing is written to a stream after its end.
 * S4 A stream is sent no answer whose feature its worker did not name (common/config/watch-features.ts).
 *
 * There is one StreamSlot per connected device: its fields are few, and there are no timers, signals or promises among them.
 */
import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../../common/clock/clock.ts";
import type { Features } from "../../common/config/watch-features.ts";
import type { NebulaError } from "../../common/errors/nebula-error.ts";
import type { Link } from "../../common/linked-list.ts";
import type { Log } from "../../common/log/log.ts";
import { type EntityKey, keyText } from "../../common/storage/config-store.ts";
import type { Login } from "../access/verified-credentials.ts";
import { UNCHANGED, type WatchAnswer } from "../config/config-answer.ts";
import type { LoadedConfig } from "../config/load-config.ts";
import type { Ownership } from "./ownership.ts";

/** The gRPC call of a stream. */
export type SlotCall = {
  /** @param written called when the answer is with the kernel; never called if the call ends before */
  write(answer: WatchAnswer, written: () => void): void;
  /** Ends the call after its last write. */
  end(): void;
  fail(error: NebulaError): void;
};

/** The connection of a stream: how many bytes were received on it, and its end. */
export type Connection = { readonly bytesRead: number; destroy(): void };

/** The device and the credential of a watch, from its request. */
export type Watcher = Readonly<{
  /** Empty: the watch does not show a device's presence. */
  deviceId: string;
  boot: string;
  keepaliveMs: number;
  /** Served by this shard, even if another owns the group, until the membership changes. */
  serveHere: boolean;
  /** Opened with the token of another component: it shows no device's presence, and `spread` does not apply to it. */
  viaPart: boolean;
  /** The features beyond the first release that the worker named. */
  features: Features;
  /** The version of the worker, one text for all of one version; empty: it named none. */
  workerVersion: string;
  /** The credential that opened it, shared by all watches of that credential. */
  login: Login;
}>;

/** Why a stream ended, for the metrics. */
export type EndReason = "closed" | "replaced" | "redirected" | "refused" | "stopping" | "silent" | "unanswered";

export type OpenSlot = Readonly<{
  call: SlotCall;
  group: GroupWatch;
  watcher: Watcher;
  connection: Connection | undefined;
  /** The etag that the device says it holds. */
  etag: string;
  /** The version of the ownership at the opening. */
  openedAt: number;
  /** Monotonic milliseconds, whole. */
  now: number;
}>;

/** One watch: what its device was sent, and what is still to send. */
export class StreamSlot {
  readonly watcher: Watcher;
  readonly group: GroupWatch;
  readonly connection: Connection | undefined;
  /** The version of the ownership when the stream was opened. */
  readonly openedAt: number;
  /** Its place among those whose connections are read, as far as they may be held; undefined: it has none. */
  read: Link<StreamSlot> | undefined;
  readonly #call: SlotCall;
  /** Etag of the last answer sent, or of the config that the device said it holds; empty: no config. */
  #sent: string;
  #greeted = false;
  #inFlight = false;
  #ended = false;
  /** Bytes received on the connection at the last look, and when that number was first seen. */
  #heardBytes: number;
  #heardAt: number;
  /** Bytes received when the oldest unanswered push was sent, and when that was; -1: there is none. */
  #pushBytes = -1;
  #pushedAt = 0;

  constructor({ call, group, watcher, connection, etag, openedAt, now }: OpenSlot) {
    this.#call = call;
    this.group = group;
    this.watcher = watcher;
    this.connection = connection;
    this.openedAt = openedAt;
    this.#sent = etag;
    this.#heardBytes = connection?.bytesRead ?? 0;
    this.#heardAt = now;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Whether it was sent any answer yet. */
  get greeted(): boolean {
    return this.#greeted;
  }

  /**
   * Sends the answer of the group if the device was sent another one last, and nothing is in flight (W2).
   * @param now monotonic milliseconds, whole
   * @returns whether a config was sent
   */
  advance(now: number): boolean {
    if (this.#inFlight || this.#ended) return false; // S1, S3
    const { answer } = this.group;
    if (answer === undefined || !this.#knows(answer) || (this.#greeted && this.#sent === answer.etag)) return false;
    const isHeld = !this.#greeted && answer.etag !== "" && answer.etag === this.#sent;
    this.#greeted = true;
    this.#send(isHeld ? UNCHANGED : answer);
    if (isHeld || answer.etag === "") return false;
    this.#notePush(now);
    return true;
  }

  /** S4 */
  #knows({ feature }: WatchAnswer): boolean {
    return feature === undefined || this.watcher.features.has(feature);
  }

  #send(answer: WatchAnswer): void {
    this.#inFlight = true;
    if (answer !== UNCHANGED) this.#sent = answer.etag;
    this.#call.write(answer, () => {
      this.#inFlight = false;
      if (!this.#ended && this.#sent !== this.group.loaded?.answer.etag) this.group.resume(this); // S2, W2
    });
  }

  #notePush(now: number): void {
    const heard = this.connection?.bytesRead ?? 0;
    if (this.#pushBytes === heard) return; // an older push is unanswered already
    this.#pushBytes = heard;
    this.#pushedAt = now;
  }

  /** Sends a last answer, and ends the stream. */
  finish(last: WatchAnswer): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#knows(last)) this.#call.write(last, () => {});
    this.#call.end();
  }

  /** Ends the stream with an error. */
  fail(error: NebulaError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#call.fail(error);
  }

  /** Notes that the peer ended the stream. */
  markEnded(): void {
    this.#ended = true;
  }

  /**
   * Returns why the connection counts as lost; undefined if it does not.
   * @param now monotonic milliseconds
   * @param answerMs how long after a push something must be received
   */
  checkSilence(now: number, answerMs: number): "silent" | "unanswered" | undefined {
    const heard = this.connection?.bytesRead;
    if (heard === undefined) return undefined;
    if (heard !== this.#heardBytes) {
      this.#heardBytes = heard;
      this.#heardAt = now;
      return undefined;
    }
    if (now - this.#heardAt > 2.5 * this.watcher.keepaliveMs) return "silent";
    const mustAnswer = this.watcher.deviceId !== "" && !this.watcher.viaPart;
    return mustAnswer && this.#pushBytes === heard && now - this.#pushedAt > answerMs ? "unanswered" : undefined;
  }
}

/** A device_group with at least one stream. */
export class GroupWatch {
  readonly name: string;
  /** Advances a stream whose write is done, and whose group has another answer than the one it was sent. */
  readonly resume: (stream: StreamSlot) => void;
  /** When the answer changed last, monotonic milliseconds. */
  changedAt = 0;
  readonly streams = new Set<StreamSlot>();
  /** How many of the streams are a gateway's, which follows the group for workers of the original that poll it. */
  gateways = 0;
  #loaded: LoadedConfig | undefined;
  #revisions: ReadonlyMap<string, bigint> = new Map();
  #trusted = false;

  constructor(name: string, resume: (stream: StreamSlot) => void) {
    this.name = name;
    this.resume = resume;
  }

  /** The last config that was loaded, trusted or not; undefined before the first load. */
  get loaded(): LoadedConfig | undefined {
    return this.#loaded;
  }

  /** The answer that may be sent; undefined while it is being loaded. */
  get answer(): WatchAnswer | undefined {
    return this.#trusted ? this.#loaded?.answer : undefined;
  }

  /** The revision of an entity that the config was made from; -1 if it was not made from it. */
  revisionOf(key: EntityKey): bigint {
    return this.#revisions.get(keyText(key)) ?? -1n;
  }

  /** Whether the loaded config may be sent. */
  get trusted(): boolean {
    return this.#trusted;
  }

  set(loaded: LoadedConfig): void {
    this.#loaded = loaded;
    this.#revisions = new Map(loaded.madeFrom.map((entity) => [keyText(entity), entity.revision]));
    this.#trusted = true;
  }

  /** Marks the loaded config as possibly old: nothing is sent before the next load. */
  distrust(): void {
    this.#trusted = false;
  }
}

/** How often the connections are checked, and how long after a push something must be received. Milliseconds. */
export type SilenceTimes = Readonly<{ everyMs: number; answerMs: number }>;

const STREAMS_PER_TURN = 1000;

/** Calls `onSilent` for streams on whose connection nothing is received any more: one loop over the byte counters replaces a timer per stream. */
export async function watchSilence(
  streams: () => Iterable<StreamSlot>,
  onSilent: (stream: StreamSlot, why: "silent" | "unanswered") => void,
  { clock, times, signal }: { clock: Clock; times: SilenceTimes; signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(times.everyMs, signal).catch(() => {});
    let looked = 0;
    for (const stream of streams()) {
      if (signal.aborted) return;
      const why = stream.checkSilence(Math.trunc(clock.monotonic()), times.answerMs);
      if (why !== undefined) onSilent(stream, why);
      if (++looked % STREAMS_PER_TURN === 0) await turn();
    }
  }
}

/** Devices of one group on one shard above which more shards should share the group. */
const CROWD = 10_000;
/** Below this share of CROWD the warning about a group may be repeated. */
const CALM = 0.9;

/** Warns of a device_group with very many devices on this shard, once each time that it grows beyond the bound, if a larger `spread` helps. */
export class CrowdWarning {
  readonly #ownership: Pick<Ownership, "canSpread">;
  readonly #log: Log;
  readonly #crowded = new Set<GroupWatch>();

  constructor(ownership: Pick<Ownership, "canSpread">, log: Log) {
    this.#ownership = ownership;
    this.#log = log;
  }

  /** Notes that a stream was added to the group. */
  entered(group: GroupWatch): void {
    const devices = group.streams.size;
    if (devices <= CROWD || this.#crowded.has(group)) return;
    const spread = Math.max(1, group.loaded?.spread ?? 1);
    if (!this.#ownership.canSpread(spread)) return;
    this.#crowded.add(group);
    this.#log.warn({ device_group: group.name, devices, spread }, "very many devices of one device_group are on this shard: a larger spread helps");
  }

  /** Notes that a stream was removed from the group. */
  left(group: GroupWatch): void {
    if (group.streams.size < CROWD * CALM) this.#crowded.delete(group);
  }
}
