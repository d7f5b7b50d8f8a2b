/**
 * How devices move to other shards: streams end, paced, when another shard owns them now (HandOver), and when this one stops (drain).
 *
 * P1 Toward one receiver all senders together end at most RATE streams a second: each takes its part, RATE divided by the members other than the receiver.
 * P2 Streams end in random order: the devices of one group do not come as a block.
 * P3 At most LOOKED_AT streams are looked at in one turn of the event loop.
 * P4 A stream that another shard owns, and that was sent no answer yet, is redirected at once.
 */
import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../../common/clock/clock.ts";
import type { Member } from "../../common/membership/membership.ts";

// --- streams that another shard owns

/** P1: ends per second, toward one receiver. */
export const RATE = 500;
/** P3 */
const LOOKED_AT = 256;
const SLICE_MS = 100;

export type HandOverTarget<Group, Stream> = {
  /** Every group that is watched now. */
  groups(): Iterable<Group>;
  /** The shard that should serve a stream; undefined: this one. */
  receiver(stream: Stream): Member | undefined;
  /** Whether a stream was sent an answer already. */
  greeted(stream: Stream): boolean;
  /** Redirects a stream that was sent no answer yet. */
  redirect(stream: Stream, to: Member): void;
  /** Ends a stream if another shard still owns it, and returns whether it did: its device fetches the shard map. */
  end(stream: Stream): boolean;
  /** The live shards, this one included. */
  members(): number;
  /** Called with the number of streams that were looked at in one turn of the event loop. */
  looked(streams: number): void;
};

/** The streams that one receiver will get, and how many more of them may end now. */
type Queue<Stream> = { readonly streams: Stream[]; credit: number };

/** Ends the streams that this shard lost when the membership or the `spread` of a group changed, so that their devices do not all dial at once. */
export class HandOver<Group extends { readonly streams: Iterable<Stream> }, Stream> {
  readonly #clock: Clock;
  readonly #target: HandOverTarget<Group, Stream>;
  readonly #signal: AbortSignal;
  /** Groups whose streams are not looked at yet. */
  readonly #unchecked = new Set<Group>();
  /** By name of the receiver. Bounded by the streams: each is in it once. */
  readonly #queues = new Map<string, Queue<Stream>>();
  readonly #queued = new Set<Stream>();
  #checking = false;
  #ending = false;

  constructor(clock: Clock, target: HandOverTarget<Group, Stream>, signal: AbortSignal) {
    this.#clock = clock;
    this.#target = target;
    this.#signal = signal;
  }

  /** Streams that wait for their end. */
  get waiting(): number {
    return this.#queued.size;
  }

  /** Looks at every stream again, after a change of the membership. */
  checkAll(): void {
    this.#queues.clear(); // the receivers may be others now
    this.#queued.clear();
    for (const group of this.#target.groups()) this.check(group);
  }

  /** Looks at the streams of one group, which another shard may own now. */
  check(group: Group): void {
    this.#unchecked.add(group);
    if (!this.#checking) void this.#check();
  }

  async #check(): Promise<void> {
    this.#checking = true;
    let looked = 0;
    for (;;) {
      const [group] = this.#unchecked;
      if (group === undefined || this.#signal.aborted) break;
      this.#unchecked.delete(group);
      for (const stream of group.streams) {
        if (looked === LOOKED_AT) {
          this.#target.looked(looked);
          looked = 0;
          await turn(); // P3
          if (this.#signal.aborted) break;
        }
        looked++;
        this.#look(stream);
      }
    }
    if (looked > 0) this.#target.looked(looked);
    this.#checking = false;
  }

  #look(stream: Stream): void {
    const receiver = this.#target.receiver(stream);
    if (receiver === undefined) return;
    if (!this.#target.greeted(stream)) {
      this.#target.redirect(stream, receiver); // P4
      return;
    }
    if (this.#queued.has(stream)) return;
    const queue = this.#queues.get(receiver.name) ?? { streams: [], credit: 0 };
    this.#queues.set(receiver.name, queue);
    this.#queued.add(stream);
    queue.streams.push(stream);
    if (!this.#ending) void this.#endPaced();
  }

  async #endPaced(): Promise<void> {
    this.#ending = true;
    let before = this.#clock.monotonic();
    while (this.#queued.size > 0 && !this.#signal.aborted) {
      await this.#clock.sleep(SLICE_MS * (0.5 + Math.random() / 2), this.#signal).catch(() => {});
      if (this.#signal.aborted) break;
      const now = this.#clock.monotonic();
      const earned = (Math.min(now - before, 2 * SLICE_MS) / 1000) * shareOfRate(this.#target.members());
      before = now;
      for (const [name, queue] of this.#queues) this.#endSome(name, queue, earned);
    }
    this.#ending = false;
  }

  #endSome(name: string, queue: Queue<Stream>, earned: number): void {
    queue.credit += earned;
    while (queue.credit >= 1 && queue.streams.length > 0) {
      const stream = takeOne(queue.streams);
      if (stream !== undefined && this.#queued.delete(stream) && this.#target.end(stream)) queue.credit--;
    }
    if (queue.streams.length === 0) this.#queues.delete(name);
  }
}

/** P1: streams a second that one sender ends toward one receiver. */
export function shareOfRate(members: number): number {
  return RATE / Math.max(1, members - 1);
}

/** Takes any one out, each as likely as the others (P2). */
export function takeOne<T>(items: T[]): T | undefined {
  const index = Math.floor(Math.random() * items.length);
  const [taken, last] = [items[index], items.pop()];
  if (last !== undefined && index < items.length) items[index] = last;
  return taken;
}

// --- a shard that stops

/** The part of the time in which a drain is paced to be complete: the rest is for late timers. */
const USED = 0.8;

export type DrainOptions<Stream> = Readonly<{
  /** Within which every stream ends, milliseconds. */
  withinMs: number;
  clock: Clock;
  signal: AbortSignal;
  /** Ends one stream that has not ended yet; its device connects to another shard. */
  end: (stream: Stream) => void;
}>;

/**
 * Ends all streams of a shard that stops, in random order: at most RATE a second, or as many as are needed to be done in time. Resolves when all have ended,
 * or the signal is aborted.
 */
export async function drain<Stream>(streams: Iterable<Stream>, { withinMs, clock, signal, end }: DrainOptions<Stream>): Promise<void> {
  const left = [...streams];
  const perSecond = Math.max(RATE, (left.length * 1000) / (USED * Math.max(1, withinMs)));
  let credit = 0;
  let before = clock.monotonic();
  while (left.length > 0 && !signal.aborted) {
    await clock.sleep(SLICE_MS * (0.5 + Math.random() / 2), signal).catch(() => {});
    const now = clock.monotonic();
    credit += ((now - before) / 1000) * perSecond;
    before = now;
    for (; credit >= 1 && left.length > 0; credit--) {
      const stream = takeOne(left);
      if (stream !== undefined) end(stream);
    }
  }
}
