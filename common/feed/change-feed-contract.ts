import { strict as assert } from "node:assert";
import { eventually } from "../testing/eventually.ts";
import type { ChangeFeed, FeedEvent } from "./change-feed.ts";

/** What every ChangeFeed promises. `open` yields two ends of one feed (of an in-process feed the same one twice). */
export function describeChangeFeed(driver: string, open: () => Promise<{ publisher: ChangeFeed; subscriber: ChangeFeed }>): void {
  describe(`ChangeFeed: ${driver}`, () => {
    let publisher: ChangeFeed;
    let subscriber: ChangeFeed;
    let events: FeedEvent[];
    let subscription: Disposable;
    const changed = (revision: bigint): FeedEvent => ({ kind: "entity", entity: { kind: "app", name: "web" }, revision });
    beforeEach(async () => {
      ({ publisher, subscriber } = await open());
      events = [];
      subscription = subscriber.subscribe((event) => events.push(event));
    });
    afterEach(async () => {
      await publisher[Symbol.asyncDispose]();
      await subscriber[Symbol.asyncDispose]();
    });

    it("delivers entity and access events whole, in the publisher's order", async () => {
      const sent: FeedEvent[] = [changed(1n), { kind: "access", subject: "user/alice" }, changed(2n)];
      for (const event of sent) await publisher.publish(event);
      await eventually(() => events.length === 3);
      assert.deepEqual(events, sent);
    });

    it("never calls a listener within publish", () => {
      void publisher.publish(changed(1n));
      assert.deepEqual(events, []);
    });

    it("delivers to every subscriber, and to none that ended", async () => {
      const second: FeedEvent[] = [];
      subscriber.subscribe((event) => second.push(event));
      subscription[Symbol.dispose]();
      await publisher.publish(changed(1n));
      await eventually(() => second.length === 1);
      assert.deepEqual(events, []);
    });

    it("goes on after a listener that throws", async () => {
      subscriber.subscribe(() => {
        throw new Error("a listener's own fault");
      });
      const second: FeedEvent[] = [];
      subscriber.subscribe((event) => second.push(event));
      await publisher.publish(changed(1n));
      await publisher.publish(changed(2n));
      await eventually(() => second.length === 2 && events.length === 2);
    });

    it("delivers status events of followed groups alone", async () => {
      const status = (deviceGroup: string): FeedEvent => ({ kind: "status", deviceGroup, payload: Uint8Array.from([1, 2, 3]) });
      const following = subscriber.followStatus("pos");
      const twice = subscriber.followStatus("pos");
      twice[Symbol.dispose]();
      await publisher.publish(status("kiosk"));
      await publisher.publish(status("pos"));
      await publisher.publish(changed(1n));
      await eventually(() => events.length === 2);
      assert.deepEqual(events[0], status("pos"));
      following[Symbol.dispose]();
      await publisher.publish(status("pos"));
      await publisher.publish(changed(2n));
      await eventually(() => events.length === 3);
      assert.deepEqual(events[2], changed(2n));
    });
  });
}
