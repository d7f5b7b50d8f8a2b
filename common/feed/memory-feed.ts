import { messageOf } from "../errors/nebula-error.ts";
import type { Log } from "../log/log.ts";
import type { ChangeFeed, FeedEvent, FeedListener } from "./change-feed.ts";

/** The change feed of one process: listeners are called one after the other, after the publisher's turn. */
export function createMemoryFeed({ log }: { log: Log }): ChangeFeed {
  const listeners = new Set<FeedListener>();
  const followed = new Map<string, number>();

  const deliver = (event: FeedEvent) => {
    for (const listener of listeners) {
      try {
        listener(event);
      } catch (error) {
        log.error({ error: messageOf(error) }, "a listener of the change feed failed");
      }
    }
  };

  return {
    async publish(event) {
      if (event.kind === "status" && !followed.has(event.deviceGroup)) return;
      setImmediate(deliver, event);
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
