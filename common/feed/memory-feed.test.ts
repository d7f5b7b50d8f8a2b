import { silentLog } from "../log/log.ts";
import { describeChangeFeed } from "./change-feed-contract.ts";
import { createMemoryFeed } from "./memory-feed.ts";

describeChangeFeed("memory", async () => {
  const feed = createMemoryFeed({ log: silentLog });
  return { publisher: feed, subscriber: feed };
});
