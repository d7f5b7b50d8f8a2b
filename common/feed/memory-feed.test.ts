import { strict as assert } from "node:assert";
import { silentLog } from "../log/log.ts";
import { eventually } from "../testing/eventually.ts";
import type { FeedEvent } from "./change-feed.ts";
import { describeChangeFeed } from "./change-feed-contract.ts";
import { createMemoryFeed } from "./memory-feed.ts";

describeChangeFeed("memory", async () => {
  const feed = createMemoryFeed({ log: silentLog });
  return { publisher: feed, subscriber: feed };
});

describe("the change feed in memory", () => {
  it("loses what is above its bound, and goes on", async () => {
    await using feed = createMemoryFeed({ log: silentLog, maxWaiting: 3 });
    const revisions: bigint[] = [];
    const changed = (revision: bigint): FeedEvent => ({ kind: "entity", entity: { kind: "app", name: "web" }, revision });
    feed.subscribe((event) => event.kind === "entity" && revisions.push(event.revision));
    for (let revision = 1n; revision <= 5n; revision++) await feed.publish(changed(revision));
    await eventually(() => revisions.length === 3);
    await feed.publish(changed(6n));
    await eventually(() => revisions.length === 4);
    assert.deepEqual(revisions, [1n, 2n, 3n, 6n]);
  });
});
