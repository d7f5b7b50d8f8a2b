import { strict as assert } from "node:assert";
import { Registry } from "prom-client";
import { silentLog } from "../log/log.ts";
import { createHintMetrics } from "../metrics/hint-metrics.ts";
import { eventually } from "../testing/eventually.ts";
import type { Announcement } from "./change-feed.ts";
import { describeChangeFeed } from "./change-feed-contract.ts";
import { createMemoryFeed } from "./memory-feed.ts";

describeChangeFeed("memory", async () => {
  const maxWaiting = 20;
  const feed = createMemoryFeed({ log: silentLog, maxWaiting });
  const fill = async () => {
    for (let i = 0; i <= maxWaiting; i++) feed.publish({ kind: "access", subject: "user/filler" });
  };
  return { publisher: feed, subscriber: feed, breakSubscription: fill };
});

describe("the change feed in memory", () => {
  it("the feed in memory drops events above its bound, counts them, emits one gap for them, and resumes", async () => {
    const registry = new Registry();
    await using feed = createMemoryFeed({ log: silentLog, maxWaiting: 3, metrics: createHintMetrics(registry) });
    const seen: (bigint | string)[] = [];
    const changed = (revision: bigint): Announcement => ({ kind: "entity", entity: { kind: "app", name: "web" }, revision });
    feed.subscribe((event) => seen.push(event.kind === "entity" ? event.revision : event.kind));
    for (let revision = 1n; revision <= 5n; revision++) feed.publish(changed(revision));
    await eventually(() => seen.length === 4);
    feed.publish(changed(6n));
    await eventually(() => seen.length === 5);
    assert.deepEqual(seen, [1n, 2n, 3n, "gap", 6n]);
    const counted = await registry.getSingleMetricAsString("nebula_hints_lost_total");
    assert.match(counted, /what="event"\} 2$/m);
  });
});
