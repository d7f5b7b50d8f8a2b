import { messageOf } from "../errors/nebula-error.ts";
import type { Log } from "../log/log.ts";
import type { ChangeFeed, FeedEvent, FeedListener } from "./change-feed.ts";

export type MemoryFeedOptions = {
  log: Log;
  /** How many events wait at most for the turn in which they are delivered; 10,000. One more is lost, and counted in the log. */
  maxWaiting?: number;
};

/** The change feed of one process: listeners are called one after the other, after the publisher's turn. */
export function createMemoryFeed({ log, maxWaiting = 10_000 }: MemoryFeedOptions): ChangeFeed {
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
    const events = waiting;
    waiting = [];
    if (lost > 0) log.warn({ lost }, "the change feed was full: events were lost, the regular check makes up for them");
    lost = 0;
    for (const event of events) if (event.kind !== "status" || followed.has(event.deviceGroup)) deliver(event);
  };

  return {
    async publish(event) {
      if (event.kind === "status" && !followed.has(event.deviceGroup)) return;
      if (waiting.length >= maxWaiting) {
        lost++;
        return;
      }
      waiting.push(event);
      if (waiting.length === 1) setImmediate(deliverWaiting);
    },
    subscribe(listener) {
      const own: FeedListener = (event) => listener(event); // one subscription each, also of the same function
      listeners.add(own);
      return { [Symbol.dispose]: () => void listeners.delete(own) };
    },
    followStatus(deviceGroup) {
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
