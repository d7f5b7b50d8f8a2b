import { messageOf } from "../errors/nebula-error.ts";
import type { Log } from "../log/log.ts";
import { createHintMetrics, type HintMetrics } from "../metrics/hint-metrics.ts";
import type { ChangeFeed, FeedEvent, FeedListener } from "./change-feed.ts";

export type MemoryFeedOptions = {
  log: Log;
  /**
   * The most events that wait for the turn in which they are delivered; 10,000 by default. A further one is lost and
   * counted, and a gap is emitted to all.
   */
  maxWaiting?: number;
  metrics?: HintMetrics;
};

export type MemoryFeed = ChangeFeed & {
  /** Emits a gap after all earlier announcements. */
  gap(): void;
};

/** The change feed of one process: listeners are called one after the other, after the publisher's turn. */
export function createMemoryFeed({ log, maxWaiting = 10_000, metrics = createHintMetrics() }: MemoryFeedOptions): MemoryFeed {
  const listeners = new Set<FeedListener>();
  const followed = new Map<string, number>();
  let waiting: FeedEvent[] = [];
  let lost = 0;

  const deliver = (event: FeedEvent) => {
    for (const listener of listeners) {
      try {
        listener(event);
      } catch (error) {
        log.error({ error: messageOf(error) }, "a listener of the change feed failed");
      }
    }
  };

  const deliverWaiting = () => {
    const [events, lostNow] = [waiting, lost];
    waiting = [];
    lost = 0;
    for (const event of events) if (event.kind !== "status" || followed.has(event.deviceGroup)) deliver(event);
    if (lostNow === 0) return;
    log.warn({ lost: lostNow }, "the change feed was full: events were lost, and all that is watched is checked");
    metrics.lost("event", lostNow);
    metrics.gap();
    deliver({ kind: "gap" });
  };

  const enqueue = (event: FeedEvent) => {
    if (waiting.length >= maxWaiting) {
      lost++;
      return;
    }
    waiting.push(event);
    if (waiting.length === 1) setImmediate(deliverWaiting);
  };

  return {
    publish(event) {
      if (event.kind !== "status" || followed.has(event.deviceGroup)) enqueue(event);
    },
    gap: () => enqueue({ kind: "gap" }), // a lost gap is a gap too
    subscribe(listener) {
      const own: FeedListener = (event) => listener(event); // one subscription each, also of the same function
      listeners.add(own);
      return { [Symbol.dispose]: () => void listeners.delete(own) };
    },
    async followStatus(deviceGroup) {
      followed.set(deviceGroup, (followed.get(deviceGroup) ?? 0) + 1);
      let ended = false;
      return {
        [Symbol.dispose]: () => {
          if (ended) return;
          ended = true;
          const left = (followed.get(deviceGroup) ?? 1) - 1;
          if (left === 0) followed.delete(deviceGroup);
          else followed.set(deviceGroup, left);
        },
      };
    },
    async [Symbol.asyncDispose]() {
      listeners.clear();
      followed.clear();
    },
  };
}
