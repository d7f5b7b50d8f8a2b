import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../clock/clock.ts";
import { NebulaError } from "../errors/nebula-error.ts";
import { LinkedList } from "../linked-list.ts";
import { handleBatch } from "./handle-batch.ts";
import type { BatchHandler, BusMessage, BusRecord, ConsumeOptions, ReportBus } from "./report-bus.ts";

// The report bus of one process. Nothing of it is on disk: what makes it safe is that a publisher hears of success only after the commit.
//
// B1: a publish resolves after the handler that was given its record has resolved, and not before.
// B2: records are handed over in the order in which they were published, in one batch at a time, so the records of a key keep their order.
// B3: a batch whose handler rejected is the next batch again, with the same records.
// B4: without a consumer nothing waits: publish rejects at once, and when the consumer goes, so does every publish that waited for it.
// B5: at most `capacity` records wait or are being handled; one more is refused with `unavailable`, as a bus that is down would.

/** How many records a batch holds at most: it bounds how long one transaction of the consumer takes. */
const BATCH_SIZE = 100;
const DEFAULT_CAPACITY = 50_000;
/** How many unreadable records are kept; older ones make room. */
const DEAD_KEPT = 100;
/** The only partition of this bus never moves to another consumer. */
const NEVER_LOST = new AbortController().signal;

export type DeadRecord = Readonly<{ record: BusMessage; reason: string }>;

/** A report bus within one process. */
export interface MemoryBus extends ReportBus {
  /** The newest records that could not be read, at most 100, oldest first. */
  readonly dead: readonly DeadRecord[];
  /** How many records could not be read since the start. */
  readonly deadCount: number;
}

export type MemoryBusOptions = {
  clock: Clock;
  /** How many records wait or are being handled at most; 50,000. */
  capacity?: number;
};

/** A published record until its publisher has an answer. */
type Entry = { message: BusMessage; resolve: () => void; reject: (reason: unknown) => void };

type Consumer = { wake: () => void; ended: Promise<void> };

/** Opens a report bus within this process; nobody else sees its records. */
export function createMemoryBus({ clock, capacity = DEFAULT_CAPACITY }: MemoryBusOptions): MemoryBus {
  const waiting = new LinkedList<Entry>(); // B2; a publisher that gives up leaves at no cost
  const dead: DeadRecord[] = [];
  let deadCount = 0;
  let handling: readonly Entry[] = []; // the batch that the consumer has now (B3)
  let consumer: Consumer | undefined;
  let closed = false;
  const closing = new AbortController();

  function refusal(): NebulaError | undefined {
    if (closed) return unavailable("the report bus is closed");
    if (consumer === undefined)
      return unavailable("nobody reads reports in this process: start a reporter in it, or set NEBULA_BUS to a bus that all parts share");
    if (waiting.size + handling.length >= capacity)
      return unavailable(`the report bus is full (${capacity} records wait): send the newest report again later`); // B5
    return undefined;
  }

  async function publish({ key, value }: BusRecord, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const refused = refusal(); // B4, B5
    if (refused !== undefined) throw refused;
    await new Promise<void>((resolve, reject) => {
      const settle = (end: () => void) => {
        signal.removeEventListener("abort", onAbort);
        end();
      };
      const entry: Entry = {
        message: { key, value, timestampMs: clock.now() },
        resolve: () => settle(resolve),
        reject: (reason) => settle(() => reject(reason)),
      };
      // A record that is being handled goes through all the same: its publisher only stops waiting.
      const onAbort = () => {
        waiting.remove(link);
        entry.reject(signal.reason);
      };
      signal.addEventListener("abort", onAbort);
      const link = waiting.add(entry);
      consumer?.wake();
    });
  }

  function takeBatch(): readonly Entry[] {
    const batch: Entry[] = [];
    while (batch.length < BATCH_SIZE) {
      const entry = waiting.shift();
      if (entry === undefined) break;
      batch.push(entry);
    }
    return batch;
  }

  async function consume(handler: BatchHandler, { signal: callerSignal, onJoined, turn }: ConsumeOptions): Promise<void> {
    if (closed) throw unavailable("the report bus is closed");
    if (consumer !== undefined) throw new NebulaError("failed_precondition", "the report bus of this process has a consumer already: it takes one");
    const signal = AbortSignal.any([callerSignal, closing.signal]);
    if (signal.aborted) return;
    let wake = () => {};
    const end = Promise.withResolvers<void>();
    const self: Consumer = { wake: () => wake(), ended: end.promise };
    consumer = self;
    signal.addEventListener("abort", self.wake);
    try {
      onJoined?.();
      while (!signal.aborted) {
        if (waiting.size > 0) await turn?.(signal);
        handling = takeBatch();
        if (handling.length === 0) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
          continue;
        }
        const batch = handling;
        const messages = batch.map((entry) => entry.message);
        await handleBatch(handler, messages, { clock, stop: signal, lost: NEVER_LOST }); // B3
        handling = [];
        for (const entry of batch) entry.resolve(); // B1
        await nextTurn(); // a consumer that never waits for I/O must not keep the event loop to itself
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      signal.removeEventListener("abort", self.wake);
      consumer = undefined;
      const left = [...handling, ...waiting];
      handling = [];
      waiting.clear();
      for (const entry of left) entry.reject(unavailable("the reader of reports has stopped: send the newest report again later")); // B4
      end.resolve();
    }
  }

  return {
    publish,
    consume,
    async publishDead(record, reason) {
      deadCount += 1;
      dead.push({ record, reason });
      if (dead.length > DEAD_KEPT) dead.shift();
    },
    get dead() {
      return dead;
    },
    get deadCount() {
      return deadCount;
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      closing.abort(new NebulaError("cancelled", "the report bus is closed"));
      await consumer?.ended;
    },
  };
}

function unavailable(message: string): NebulaError {
  return new NebulaError("unavailable", message);
}
