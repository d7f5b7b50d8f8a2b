import type { Clock } from "../../common/clock/clock.ts";
import { systemClock } from "../../common/clock/system-clock.ts";
import type { FeedEvent } from "../../common/feed/change-feed.ts";
import { createMemoryFeed } from "../../common/feed/memory-feed.ts";
import { silentLog } from "../../common/log/log.ts";
import { deriveSecretKeys } from "../../common/secrets/secret-keys.ts";
import type { ConfigStore, EntityKey } from "../../common/storage/config-store.ts";
import { openSqliteConfigStore } from "../../common/storage/sqlite/config-store.ts";
import { ADMIN_RIGHTS, NO_RIGHTS } from "../access/rights/rights.ts";
import type { EntityDeps } from "../entities/write-entity.ts";
import type { CallContext } from "../rpc/call-context.ts";
import { createAppServiceHandlers } from "../services/entities/app-service.ts";
import { createCronJobServiceHandlers } from "../services/entities/cron-job-service.ts";
import { createDeviceGroupServiceHandlers } from "../services/entities/device-group-service.ts";
import { TEST_PAGES } from "./test-access.ts";

/** The three services over a real store, and what they told cache and feed. */
export type EntityRig = AsyncDisposable & {
  readonly store: ConfigStore;
  readonly deps: EntityDeps;
  readonly apps: ReturnType<typeof createAppServiceHandlers>;
  readonly cronJobs: ReturnType<typeof createCronJobServiceHandlers>;
  readonly groups: ReturnType<typeof createDeviceGroupServiceHandlers>;
  /** `app web 2`, in the order told. */
  readonly told: string[];
  readonly announced: FeedEvent[];
  /** The device_groups that workers of the original poll. */
  readonly polled: Set<string>;
};

export type EntityRigOptions = Readonly<{
  clock?: Clock;
  /** The store of the services, which is not disposed of with the rig; absent: a new one in memory. */
  store?: ConfigStore;
  clusterKey?: string;
  /** Puts something between the services and the store. */
  wrapStore?: (store: ConfigStore) => ConfigStore;
}>;

export async function startEntityRig({
  clock = systemClock,
  store: given,
  clusterKey = "cluster key of a test",
  wrapStore = (store) => store,
}: EntityRigOptions = {}): Promise<EntityRig> {
  const store = given ?? (await openSqliteConfigStore({ path: ":memory:" }));
  const feed = createMemoryFeed({ log: silentLog });
  const told: string[] = [];
  const announced: FeedEvent[] = [];
  const polled = new Set<string>();
  feed.subscribe((event) => announced.push(event));
  const configCache = {
    get: async () => undefined,
    put: () => {},
    invalidate: ({ kind, name }: EntityKey, revision: bigint) => void told.push(`${kind} ${name} ${revision}`),
    async [Symbol.asyncDispose]() {},
  };
  const deps: EntityDeps = {
    visiblePages: TEST_PAGES,
    isPolled: async (deviceGroup) => polled.has(deviceGroup),
    configStore: wrapStore(store),
    configCache,
    changeFeed: feed,
    secretKeys: deriveSecretKeys(clusterKey),
    clock,
    log: silentLog,
  };
  return {
    store,
    deps,
    apps: createAppServiceHandlers(deps),
    cronJobs: createCronJobServiceHandlers(deps),
    groups: createDeviceGroupServiceHandlers(deps),
    told,
    announced,
    polled,
    async [Symbol.asyncDispose]() {
      await feed[Symbol.asyncDispose]();
      if (given === undefined) await store[Symbol.asyncDispose]();
    },
  };
}

/** A call of an admin, or of a user without rights. */
export function callOf(
  name: string,
  {
    admin = true,
    signal = new AbortController().signal,
    changed = () => {},
  }: { admin?: boolean; signal?: AbortSignal; changed?: CallContext["changed"] } = {},
): CallContext {
  return { principal: { kind: "user", name, rights: admin ? ADMIN_RIGHTS : NO_RIGHTS }, signal, peer: "test", requestId: "r", changed };
}
