import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import { openSqliteConfigStore } from "../../common/storage/sqlite/config-store.ts";
import { AppSchema, CreateAppRequestSchema, DeleteAppRequestSchema, ListAppsRequestSchema } from "../../gen/nebula/v1/app_pb.ts";
import { UserGroupSchema } from "../../gen/nebula/v1/user_group_pb.ts";
import type { Principal } from "../access/principal.ts";
import { mayRead, rightsOf } from "../access/rights/rights.ts";
import { callOf, startEntityRig } from "../testing/entity-rig.ts";
import { listReadable, listReadableNames } from "./readable-entities.ts";

const signal = new AbortController().signal;

function user(apps: Record<string, string>): Principal {
  return { kind: "user", name: "ann", rights: rightsOf([create(UserGroupSchema, { name: "team", apps })]) };
}

/** Names of all entities whose bodies are read of the store from now on. */
function bodiesReadOf(store: ConfigStore): string[] {
  const bodies: string[] = [];
  const [list, getMany, get] = [store.list.bind(store), store.getMany.bind(store), store.get.bind(store)];
  const watched: Pick<ConfigStore, "list" | "getMany" | "get"> = {
    async list(...call) {
      const page = await list(...call);
      bodies.push(...page.items.map(({ name }) => name));
      return page;
    },
    async getMany(...call) {
      const found = await getMany(...call);
      bodies.push(...found.keys());
      return found;
    },
    async get(...call) {
      const found = await get(...call);
      if (found !== undefined) bodies.push(found.name);
      return found;
    },
  };
  Object.assign(store, watched);
  return bodies;
}

async function writeApps(store: ConfigStore, names: readonly string[], body: Uint8Array = new Uint8Array(8)): Promise<void> {
  for (const name of names) {
    const app = { kind: "app", name, revision: 1n, deleted: false, body, action: "create", changedAt: 0, changedBy: "ann", expected: 0n } as const;
    assert.deepEqual(await store.write(app), { kind: "written" });
  }
}

/** All pages of a list. */
async function all<T>(list: (after: string | undefined) => Promise<Readonly<{ items: readonly T[]; next: string | undefined }>>): Promise<T[][]> {
  const pages: T[][] = [];
  for (let after: string | undefined; ; ) {
    const { items, next } = await list(after);
    pages.push([...items]);
    if (next === undefined) return pages;
    after = next;
  }
}

describe("lists of entities as far as a caller may read them", () => {
  it("a list reads the bodies of what the caller may read, and of nothing else", async () => {
    await using store = await openSqliteConfigStore({ path: ":memory:" });
    const names = Array.from({ length: 1200 }, (_, index) => `app-${String(index).padStart(4, "0")}`);
    await writeApps(store, [...names, "shop-a", "shop-b", "web"]);
    const bodies = bodiesReadOf(store);
    const caller = user({ "shop-*": "ro", web: "rw", nothing: "ro", "app-0700": "ro" });
    const { items, next } = await listReadable(store, "app", caller, { limit: 1000 }, signal);
    assert.deepEqual([items.map(({ name }) => name), next], [["app-0700", "shop-a", "shop-b", "web"], undefined]);
    assert.deepEqual(bodies.sort(), ["app-0700", "shop-a", "shop-b", "web"]);
    assert.deepEqual((await listReadableNames(store, "app", caller, { limit: 2 }, signal)).items, ["app-0700", "shop-a"]);
    assert.equal(bodies.length, 4, "a list of names reads no entity");
  });

  it("ListApps of a user reads the apps that it may read alone, and no token names another one", async () => {
    await using rig = await startEntityRig();
    const bodies = bodiesReadOf(rig.store);
    for (const name of ["a", "b", "shop-1", "shop-2", "z"]) {
      const app = create(AppSchema, { name, dockerImage: "shop:1" });
      await rig.apps.createApp(create(CreateAppRequestSchema, { app }), callOf("ann"));
    }
    await rig.apps.deleteApp(create(DeleteAppRequestSchema, { name: "shop-2" }), callOf("ann"));
    bodies.length = 0;
    const call = { ...callOf("ann"), principal: user({ "shop-*": "ro", z: "ro" }) };
    const first = await rig.apps.listApps(create(ListAppsRequestSchema, { pageSize: 1 }), call);
    assert.deepEqual([first.apps?.map(({ name }) => name), first.nextPageToken], [["shop-1"], "shop-1"]);
    const second = await rig.apps.listApps(create(ListAppsRequestSchema, { pageSize: 1, pageToken: "shop-1" }), call);
    assert.deepEqual([second.apps?.map(({ name }) => name), second.nextPageToken], [["z"], ""]);
    assert.deepEqual([...new Set(bodies)].sort(), ["shop-1", "z"]);
    const refused = rig.apps.listApps(create(ListAppsRequestSchema, { pageToken: "no name" }), call);
    await assert.rejects(refused, (error) => isNebulaError(error, "invalid_argument"));
  });

  it("pages are full but for the last, and have exactly what the caller may read, by name, with any grants", async () => {
    await using store = await openSqliteConfigStore({ path: ":memory:" });
    const names = ["a", "ab", "abc", "b", "ba", "c.d", "c-d", "c_d", "d"];
    await writeApps(store, names);
    const patterns = fc.constantFrom("*", "a*", "ab*", "ab", "b", "c*", "c-*", "zz", "d");
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(patterns, { maxLength: 4 }), fc.integer({ min: 1, max: 5 }), async (granted, limit) => {
        const caller = user(Object.fromEntries(granted.map((pattern) => [pattern, "ro"])));
        if (caller.kind !== "user") return;
        const { rights } = caller;
        const expected = names.filter((name) => mayRead(rights, { kind: "app", name })).sort();
        const page = (after: string | undefined) => ({ limit, ...(after === undefined ? {} : { after }) });
        const pages = await all((after) => listReadable(store, "app", caller, page(after), signal));
        assert.deepEqual(
          pages.flat().map(({ name }) => name),
          expected,
        );
        for (const items of pages.slice(0, -1)) assert.equal(items.length, limit);
        assert.deepEqual((await all((after) => listReadableNames(store, "app", caller, page(after), signal))).flat(), expected);
      }),
      { numRuns: 100 },
    );
  });

  it("a page of large entities ends below what a client takes", async () => {
    await using store = await openSqliteConfigStore({ path: ":memory:" });
    const names = Array.from({ length: 9 }, (_, index) => `big-${index}`);
    await writeApps(store, names, new Uint8Array(900_000));
    const pages = await all((after) =>
      listReadable(store, "app", user({ "big-*": "ro" }), { limit: 1000, ...(after === undefined ? {} : { after }) }, signal),
    );
    assert.deepEqual(
      pages.flat().map(({ name }) => name),
      names,
    );
    for (const page of pages) assert.ok(page.length <= 3, `${page.length} entities of 0.9 MB`);
  });

  it("names of entities that were deleted a moment ago are left out, and do not end a page", async () => {
    await using store = await openSqliteConfigStore({ path: ":memory:" });
    await writeApps(store, ["shop-1", "shop-3"]);
    const hints: Pick<ConfigStore, "list" | "names" | "getMany"> = {
      list: (...call) => store.list(...call),
      getMany: (...call) => store.getMany(...call),
      names: async (_, { after }) => ["shop-0", "shop-1", "shop-2", "shop-3", "shop-4"].filter((name) => name > after),
    };
    const pages = await all((after) =>
      listReadable(hints, "app", user({ "shop-*": "ro" }), { limit: 1, ...(after === undefined ? {} : { after }) }, signal),
    );
    assert.deepEqual(
      pages.map((items) => items.map(({ name }) => name)),
      [["shop-1"], ["shop-3"]],
    );
  });

  it("a caller that is not a user is shown nothing", async () => {
    await using store = await openSqliteConfigStore({ path: ":memory:" });
    await writeApps(store, ["web"]);
    assert.deepEqual(await listReadable(store, "app", { kind: "part" }, { limit: 10 }, signal), { items: [], next: undefined });
  });
});
