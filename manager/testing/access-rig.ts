import { systemClock } from "../../common/clock/system-clock.ts";
import type { FeedEvent } from "../../common/feed/change-feed.ts";
import { createMemoryFeed } from "../../common/feed/memory-feed.ts";
import { createLog } from "../../common/log/log.ts";
import type { AccessStore } from "../../common/storage/access-store.ts";
import { openSqliteAccessStore } from "../../common/storage/sqlite/access/access-store.ts";
import type { Changed } from "../audit/call-record.ts";
import type { CallContext } from "../rpc/call-context.ts";
import { createUserGroupServiceHandlers } from "../services/entities/user-group-service.ts";
import { createUserServiceHandlers } from "../services/entities/user-service.ts";
import { callOf } from "./entity-rig.ts";

/** The name that no user of the rig may have. */
export const LOCAL_ADMIN = "admin";

/** Users and user_groups over a real store, and what they told feed, log and audit. */
export type AccessRig = AsyncDisposable &
  Readonly<{
    store: AccessStore;
    users: ReturnType<typeof createUserServiceHandlers>;
    groups: ReturnType<typeof createUserGroupServiceHandlers>;
    /** The same services in another shard. */
    other: Readonly<{ users: ReturnType<typeof createUserServiceHandlers>; groups: ReturnType<typeof createUserGroupServiceHandlers> }>;
    announced: readonly FeedEvent[];
    changes: readonly Changed[];
    /** The lines of the log, one JSON object each. */
    logged: readonly string[];
    /** A call of an admin. */
    call(name?: string): CallContext;
  }>;

export async function startAccessRig(): Promise<AccessRig> {
  const store = await openSqliteAccessStore({ path: ":memory:" });
  const logged: string[] = [];
  const log = createLog({ level: "debug", part: "manager", destination: { write: (line: string) => void logged.push(line) } });
  const feed = createMemoryFeed({ log });
  const announced: FeedEvent[] = [];
  feed.subscribe((event) => announced.push(event));
  const changes: Changed[] = [];
  const deps = { accessStore: store, changeFeed: feed, clock: systemClock, log, localAdmin: LOCAL_ADMIN };
  const shard = () => ({ users: createUserServiceHandlers(deps), groups: createUserGroupServiceHandlers(deps) });
  return {
    store,
    ...shard(),
    other: shard(),
    announced,
    changes,
    logged,
    call: (name = "root") => callOf(name, { changed: (change) => void changes.push(change) }),
    async [Symbol.asyncDispose]() {
      await feed[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}
