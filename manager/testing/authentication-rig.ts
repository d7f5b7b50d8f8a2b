import { strict as assert } from "node:assert";
import { createMemoryLoginCounts } from "../../common/access/login-counts.ts";
import { systemClock } from "../../common/clock/system-clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { createMemoryFeed } from "../../common/feed/memory-feed.ts";
import { silentLog } from "../../common/log/log.ts";
import { openSqliteAccessStore } from "../../common/storage/sqlite/access/access-store.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { createAccess } from "../access/access.ts";
import type { Caller } from "../access/authenticate.ts";
import { ADMIN_RIGHTS } from "../access/rights/rights.ts";

export const CLUSTER_KEY = "key";
export const ADMIN = { user: "admin", password: "päss:word", token: "t0ken" };
/** The principal of the local admin. */
export const LOCAL = { kind: "user", name: "admin", rights: ADMIN_RIGHTS };

type Options = { enabled?: boolean; openToOthers?: boolean; token?: string | undefined; everyMs?: number };

/** Authentication over a real store, whose reads are counted. */
export async function startAuthentication(options: Options = {}) {
  await using stack = new AsyncDisposableStack();
  const store = stack.use(await openSqliteAccessStore({ path: ":memory:" }));
  const feed = stack.use(createMemoryFeed({ log: silentLog }));
  const reads: string[] = [];
  const state = { down: false, hangs: false };
  /** Of each read that hangs. */
  const signals: AbortSignal[] = [];
  const accessStore = new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        reads.push(String(name));
        const signal = args.at(-1);
        if (state.hangs && signal instanceof AbortSignal) {
          signals.push(signal);
          return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
        }
        return state.down ? Promise.reject(new NebulaError("unavailable", "down")) : Reflect.apply(value, target, args);
      };
    },
  });
  const life = new AbortController();
  const access = createAccess({
    enabled: options.enabled ?? true,
    openToOthers: options.openToOthers ?? false,
    clusterKey: CLUSTER_KEY,
    admin: { ...ADMIN, token: "token" in options ? options.token : ADMIN.token },
    drivers: { accessStore, changeFeed: feed, loginCounts: createMemoryLoginCounts() },
    clock: systemClock,
    log: silentLog,
    everyMs: options.everyMs ?? 60_000,
    signal: life.signal,
  });
  stack.defer(async () => {
    life.abort();
    await access.generations.done;
  });
  await eventually(() => assert.equal(access.generations.current, 1), { timeoutMs: 2000 });
  reads.length = 0;
  const opened = stack.move();
  return {
    ...access,
    store,
    feed,
    reads,
    signals,
    state,
    /** Resolves with the caller of these headers. */
    caller: async (values: Record<string, string>, peer = "192.0.2.1:1000"): Promise<Caller> => access.authenticate(headers(values), peer),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** These headers as a call has them. */
export function headers(values: Record<string, string>) {
  return { header: (name: string) => values[name] };
}
