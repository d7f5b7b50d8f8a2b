import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { StatusChangesSchema } from "../../gen/nebula/v1/device_pb.ts";
import { eventually } from "../testing/eventually.ts";
import type { Announcement, ChangeFeed, FeedEvent, StatusNews } from "./change-feed.ts";

/** Two ends of one feed (of an in-process feed the same one twice). */
export type OpenedChangeFeed = Readonly<{
  publisher: ChangeFeed;
  subscriber: ChangeFeed;
  /** Has the subscriber lose announcements. */
  breakSubscription: () => Promise<void>;
}>;

function newsOf(deviceId: string): StatusNews {
  const summary = { deviceId, deviceGroup: "pos", writtenAt: 7n, targets: [{ name: "web", revision: 3n }] };
  const presence = [{ deviceId, shardBoot: "boot", stream: 2n, ended: true, atMs: 9n }];
  return create(StatusChangesSchema, { changes: [{ deviceId, writtenAt: 7n, summary }], presence });
}

/** The promises of every ChangeFeed. `open` yields a feed without announcements so far. */
export function describeChangeFeed(driver: string, open: () => Promise<OpenedChangeFeed>): void {
  describe(`ChangeFeed: ${driver}`, () => {
    let publisher: ChangeFeed;
    let subscriber: ChangeFeed;
    let breakSubscription: () => Promise<void>;
    let events: FeedEvent[];
    let subscription: Disposable;
    const changed = (revision: bigint): Announcement => ({ kind: "entity", entity: { kind: "app", name: "web" }, revision });
    beforeEach(async () => {
      ({ publisher, subscriber, breakSubscription } = await open());
      events = [];
      subscription = subscriber.subscribe((event) => events.push(event));
    });
    afterEach(async () => {
      await publisher[Symbol.asyncDispose]();
      await subscriber[Symbol.asyncDispose]();
    });

    it("the feed delivers entity and access events whole, in the publisher's order", async () => {
      const sent: Announcement[] = [changed(1n), { kind: "access", subject: "user/alice" }, changed(2n)];
      for (const event of sent) publisher.publish(event);
      await eventually(() => events.length === 3);
      assert.deepEqual(events, sent);
    });

    it("the feed never calls a listener within publish", () => {
      publisher.publish(changed(1n));
      assert.deepEqual(events, []);
    });

    it("the feed delivers to every subscription, and to none that ended", async () => {
      const second: FeedEvent[] = [];
      subscriber.subscribe((event) => second.push(event));
      subscription[Symbol.dispose]();
      publisher.publish(changed(1n));
      await eventually(() => second.length === 1);
      assert.deepEqual(events, []);
    });

    it("the feed continues after a listener that throws", async () => {
      subscriber.subscribe(() => {
        throw new Error("a listener's own fault");
      });
      const second: FeedEvent[] = [];
      subscriber.subscribe((event) => second.push(event));
      publisher.publish(changed(1n));
      publisher.publish(changed(2n));
      await eventually(() => second.length === 2 && events.length === 2);
    });

    it("the feed delivers status events of followed groups alone", async () => {
      const status = (deviceGroup: string): Announcement => ({ kind: "status", deviceGroup, news: newsOf("device-1") });
      const following = await subscriber.followStatus("pos");
      const twice = await subscriber.followStatus("pos");
      twice[Symbol.dispose]();
      publisher.publish(status("kiosk"));
      publisher.publish(status("pos"));
      publisher.publish(changed(1n));
      await eventually(() => events.length === 2);
      assert.deepEqual(events[0], status("pos"));
      following[Symbol.dispose]();
      publisher.publish(status("pos"));
      publisher.publish(changed(2n));
      await eventually(() => events.length === 3);
      assert.deepEqual(events[2], changed(2n));
    });

    it("the feed delivers a gap to each subscription after it broke, and all later announcements", async () => {
      const second: FeedEvent[] = [];
      subscriber.subscribe((event) => second.push(event));
      await subscriber.followStatus("pos");
      await breakSubscription();
      const gap = () => events.findIndex(({ kind }) => kind === "gap");
      await eventually(() => gap() >= 0);
      const sent: Announcement[] = [changed(1n), { kind: "status", deviceGroup: "pos", news: newsOf("device-2") }, changed(2n)];
      for (const event of sent) publisher.publish(event);
      await eventually(() => events.length >= gap() + 1 + sent.length);
      assert.deepEqual(events.slice(gap() + 1), sent);
      assert.deepEqual(second, events);
    });
  });
}
