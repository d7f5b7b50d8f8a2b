import { strict as assert } from "node:assert";
import { isNebulaError, NebulaError } from "../errors/nebula-error.ts";
import type { ConfigStore, EntityKey, EntityWrite, StoredEntity } from "./config-store.ts";

/** A write of an app that takes it from `expected` to the next revision. */
function appWrite(name: string, expected: bigint, more: Partial<EntityWrite> = {}): EntityWrite {
  return {
    kind: "app",
    name,
    expected,
    revision: expected + 1n,
    deleted: false,
    body: Buffer.from(`${name}@${expected + 1n}`),
    action: expected === 0n ? "create" : "update",
    changedAt: 1_700_000_000_000 + Number(expected),
    changedBy: "alice",
    ...more,
  };
}

function groupWrite(
  name: string,
  expected: bigint,
  apps: readonly string[],
  cronJobs: readonly string[] = [],
  more: Partial<EntityWrite> = {},
): EntityWrite {
  return appWrite(name, expected, { kind: "device_group", members: { apps, cronJobs }, ...more });
}

function bodyOf(entity: StoredEntity | undefined): string {
  return Buffer.from(entity?.body ?? []).toString();
}

async function listAll(store: ConfigStore, limit: number): Promise<{ names: string[]; pages: number; largest: number }> {
  const names: string[] = [];
  let largest = 0;
  for (let pages = 1, after: string | undefined; ; pages++) {
    const page = await store.list("app", { limit, ...(after === undefined ? {} : { after }) });
    assert.ok(page.items.length <= limit);
    names.push(...page.items.map(({ name }) => name));
    largest = Math.max(
      largest,
      page.items.reduce((bytes, { body }) => bytes + body.byteLength, 0),
    );
    if (page.next === undefined) return { names, pages, largest };
    after = page.next;
  }
}

/** What every ConfigStore promises. `open` yields a fresh, empty store; `reopen` closes one and opens what it left (absent where a store keeps nothing). */
export function describeConfigStore(driver: string, open: () => Promise<{ store: ConfigStore; reopen?: () => Promise<ConfigStore> }>): void {
  describe(`ConfigStore: ${driver}`, () => {
    let store: ConfigStore;
    let reopen: (() => Promise<ConfigStore>) | undefined;
    beforeEach(async () => {
      ({ store, reopen } = await open());
    });
    afterEach(async () => {
      await store[Symbol.asyncDispose]();
    });
    const web: EntityKey = { kind: "app", name: "web" };

    it("refuses a page that it never said goes on", async () => {
      for (const after of ["no name", "\0", "WyJyZXBvcnRzIl0="]) {
        await assert.rejects(store.list("app", { limit: 10, after }), (error) => isNebulaError(error, "invalid_argument"));
      }
    });

    it("finds the names of a kind that differ in case alone, and are not deleted", async () => {
      for (const name of ["web", "Web", "WEB", "web-2", "weB"]) await store.write(appWrite(name, 0n));
      await store.write(groupWrite("wEb", 0n, []));
      await store.write(appWrite("weB", 1n, { deleted: true }));
      assert.deepEqual(await store.namesInOtherCase(web), ["WEB", "Web"]);
      assert.deepEqual(await store.namesInOtherCase({ kind: "app", name: "wEB" }), ["WEB", "Web", "web"]);
      assert.deepEqual(await store.namesInOtherCase({ kind: "app", name: "web_2" }), []);
      assert.deepEqual(await store.namesInOtherCase({ kind: "cron_job", name: "web" }), []);
    });

    it("knows nothing of a name that was never used", async () => {
      assert.equal(await store.get(web), undefined);
      assert.deepEqual(await store.revisions([web]), [0n]);
      assert.deepEqual([...(await store.getMany("app", ["web"])).keys()], []);
      assert.deepEqual(await store.history(web, { limit: 10 }), []);
    });

    it("reads back what was written, in every part", async () => {
      const write = appWrite("web", 0n);
      assert.deepEqual(await store.write(write), { kind: "written" });
      const { expected, ...entity } = write;
      const read = await store.get(web);
      assert.equal(bodyOf(read), bodyOf(write));
      assert.deepEqual({ ...read, body: undefined }, { ...entity, body: undefined });
      assert.equal(expected, 0n);
    });

    it("refuses a write that expects another revision, and leaves everything as it was", async () => {
      await store.write(appWrite("web", 0n));
      await store.write(appWrite("web", 1n));
      for (const expected of [0n, 1n, 3n]) {
        assert.deepEqual(await store.write(appWrite("web", expected, { body: Buffer.from("loser") })), { kind: "conflict", revision: 2n });
      }
      assert.equal(bodyOf(await store.get(web)), "web@2");
      assert.deepEqual(
        (await store.history(web, { limit: 10 })).map((entity) => [entity.revision, bodyOf(entity)]),
        [
          [2n, "web@2"],
          [1n, "web@1"],
        ],
      );
    });

    it("lets a revision jump, as an import does, and goes on from there", async () => {
      await store.write(appWrite("web", 0n, { revision: 41n }));
      assert.deepEqual(await store.write(appWrite("web", 41n)), { kind: "written" });
      assert.deepEqual(await store.revisions([web]), [42n]);
    });

    it("refuses a revision that does not rise", async () => {
      await store.write(appWrite("web", 0n));
      await assert.rejects(store.write(appWrite("web", 1n, { revision: 1n })), (error) => isNebulaError(error));
    });

    it("gives every revision to exactly one of 50 writers that race", async () => {
      const winners = new Map<bigint, string>();
      const race = async (writer: string) => {
        for (let done = false; !done; ) {
          const [revision = 0n] = await store.revisions([web]);
          const outcome = await store.write(appWrite("web", revision, { changedBy: writer, body: Buffer.from(writer) }));
          if (outcome.kind === "written") {
            assert.equal(winners.has(revision + 1n), false, "a revision was given twice");
            winners.set(revision + 1n, writer);
            done = true;
          }
        }
      };
      await Promise.all(Array.from({ length: 50 }, (_, i) => race(`writer-${i}`)));
      assert.deepEqual(await store.revisions([web]), [50n]);
      const history = await store.history(web, { limit: 100 });
      assert.equal(history.length, 50);
      for (const entity of history) assert.equal(entity.changedBy, winners.get(entity.revision));
    });

    it("keeps a deleted name as a tombstone that lists skip and a create goes on from (R1)", async () => {
      await store.write(appWrite("web", 0n));
      await store.write(appWrite("web", 1n, { deleted: true, action: "delete" }));
      const tombstone = await store.get(web);
      assert.equal(tombstone?.deleted, true);
      assert.equal(tombstone?.revision, 2n);
      assert.deepEqual((await store.list("app", { limit: 10 })).items, []);
      assert.deepEqual(await store.write(appWrite("web", 0n)), { kind: "conflict", revision: 2n });
      assert.deepEqual(await store.write(appWrite("web", 2n, { action: "create" })), { kind: "written" });
      assert.equal((await store.get(web))?.deleted, false);
    });

    it("keeps kinds apart", async () => {
      await store.write(appWrite("web", 0n));
      assert.equal(await store.get({ kind: "cron_job", name: "web" }), undefined);
      assert.deepEqual(await store.revisions([{ kind: "cron_job", name: "web" }, web]), [0n, 1n]);
    });

    it("lists by name, page by page, each name once", async () => {
      const names = Array.from({ length: 25 }, (_, i) => `app-${String(i).padStart(3, "0")}`);
      for (const name of [...names].reverse()) await store.write(appWrite(name, 0n));
      const listed = await listAll(store, 10);
      assert.deepEqual(listed.names, names);
      assert.equal(listed.pages, 3);
    });

    it("lists thousands of names, in pages of 1000", async () => {
      const names = Array.from({ length: 2500 }, (_, i) => `app-${String(i).padStart(4, "0")}`);
      for (let i = 0; i < names.length; i += 50) await Promise.all(names.slice(i, i + 50).map((name) => store.write(appWrite(name, 0n))));
      const listed = await listAll(store, 1000);
      assert.deepEqual(listed.names, names);
      assert.equal(listed.pages, 3);
      assert.equal((await store.getMany("app", names.slice(0, 1000))).size, 1000);
    }).timeout(60_000);

    it("ends a page early rather than make it larger than a gRPC client takes, and leaves none out", async () => {
      const names = Array.from({ length: 80 }, (_, i) => `app-${String(i).padStart(2, "0")}`);
      for (const name of names) await store.write(appWrite(name, 0n, { body: Buffer.alloc(64 * 1024, name) }));
      const listed = await listAll(store, 1000);
      assert.deepEqual(listed.names, names);
      assert.ok(listed.largest < 4 * 1024 * 1024, `${listed.largest} bytes in a page`);
    });

    it("finds the groups that name an app or a cron_job, as they are now", async () => {
      await store.write(groupWrite("b", 0n, ["web", "db"], ["backup"]));
      await store.write(groupWrite("a", 0n, ["web"], []));
      assert.deepEqual(await store.groupsNaming("app", "web"), ["a", "b"]);
      assert.deepEqual(await store.groupsNaming("cron_job", "backup"), ["b"]);
      assert.deepEqual(await store.groupsNaming("cron_job", "web"), []);
      await store.write(groupWrite("b", 1n, ["db"]));
      assert.deepEqual(await store.groupsNaming("app", "web"), ["a"]);
      assert.deepEqual(await store.groupsNaming("app", "db"), ["b"]);
      assert.deepEqual(await store.groupsNaming("cron_job", "backup"), []);
      await store.write(groupWrite("a", 1n, [], [], { deleted: true, action: "delete" }));
      assert.deepEqual(await store.groupsNaming("app", "web"), []);
    });

    it("leaves the lookup alone when a group's write is refused", async () => {
      await store.write(groupWrite("a", 0n, ["web"]));
      await store.write(groupWrite("a", 0n, ["other"]));
      assert.deepEqual(await store.groupsNaming("app", "other"), []);
      assert.deepEqual(await store.groupsNaming("app", "web"), ["a"]);
    });

    it("pages through the history, newest first, and keeps at least the newest 1000 revisions", async () => {
      for (let expected = 0n; expected < 1010n; expected++) await store.write(appWrite("web", expected));
      const newest = await store.history(web, { limit: 3 });
      assert.deepEqual(
        newest.map(({ revision }) => revision),
        [1010n, 1009n, 1008n],
      );
      const older = await store.history(web, { before: 1008n, limit: 2 });
      assert.deepEqual(
        older.map(({ revision }) => revision),
        [1007n, 1006n],
      );
      const all = await store.history(web, { limit: 2000 });
      assert.ok(all.length >= 1000 && all.length <= 1010, `${all.length} kept`);
      assert.equal(all.at(-1)?.revision, 1010n - BigInt(all.length) + 1n);
    }).timeout(60_000);

    describe("rewriting bodies", () => {
      const shouted = ({ body }: StoredEntity) => Buffer.from(Buffer.from(body).toString().toUpperCase());
      const everything = async () => [
        ...(await store.history(web, { limit: 10 })),
        await store.get(web),
        ...(await store.history({ kind: "device_group", name: "a" }, { limit: 10 })),
        await store.get({ kind: "device_group", name: "a" }),
      ];
      beforeEach(async () => {
        await store.write(appWrite("web", 0n));
        await store.write(appWrite("web", 1n));
        await store.write(appWrite("web", 2n, { deleted: true, action: "delete" }));
        await store.write(groupWrite("a", 0n, ["web"], ["job"]));
      });

      it("reaches entities, tombstones and every kept revision, and changes nothing else of them", async () => {
        const before = await everything();
        assert.ok((await store.rewriteBodies(shouted)) >= 4);
        const after = await everything();
        assert.deepEqual(after.map(bodyOf), ["WEB@3", "WEB@2", "WEB@1", "WEB@3", "A@1", "A@1"]);
        const rest = (entities: readonly (StoredEntity | undefined)[]) => entities.map((entity) => ({ ...entity, body: undefined }));
        assert.deepEqual(rest(after), rest(before));
        assert.deepEqual(await store.groupsNaming("app", "web"), ["a"]);
        assert.deepEqual(await store.write(appWrite("web", 3n)), { kind: "written" });
      });

      it("leaves alone what it is told to, and all of it when one can't be rewritten", async () => {
        const before = (await everything()).map(bodyOf);
        assert.equal(await store.rewriteBodies(() => undefined), 0);
        const refuse = (stored: StoredEntity) => {
          if (stored.kind === "device_group") throw new NebulaError("failed_precondition", "not this one");
          return shouted(stored);
        };
        await assert.rejects(store.rewriteBodies(refuse), (error) => isNebulaError(error, "failed_precondition") && error.message === "not this one");
        assert.deepEqual((await everything()).map(bodyOf), before);
        assert.ok((await store.rewriteBodies((stored) => (stored.kind === "app" ? shouted(stored) : undefined))) >= 3);
        assert.deepEqual((await everything()).map(bodyOf), ["WEB@3", "WEB@2", "WEB@1", "WEB@3", "a@1", "a@1"]);
      });

      it("reaches thousands of revisions", async () => {
        for (let i = 0; i < 1000; i += 50) await Promise.all(Array.from({ length: 50 }, (_, j) => store.write(appWrite(`app-${i + j}`, 0n))));
        let asked = 0;
        await store.rewriteBodies((stored) => {
          asked++;
          return stored.name.startsWith("app-") ? shouted(stored) : undefined;
        });
        assert.ok(asked >= 1004);
        const { items } = await store.list("app", { limit: 1000 });
        assert.ok(items.length === 1000 && items.every((entity) => bodyOf(entity) === `${entity.name.toUpperCase()}@1`));
      }).timeout(60_000);
    });

    it("has an identity of its own, and raises its epoch above every earlier one and the seconds of now", async () => {
      assert.match(store.cluster.id, /^[0-9a-f]{32}$/);
      assert.equal(store.cluster.epoch, 1n);
      const { id } = store.cluster;
      assert.deepEqual(await store.raiseEpoch(1_700_000_000_999), { id, epoch: 1_700_000_000n });
      assert.deepEqual(await store.raiseEpoch(1_600_000_000_000), { id, epoch: 1_700_000_001n });
      assert.deepEqual(store.cluster, { id, epoch: 1_700_000_001n });
    });

    it("is the same when opened again", async function () {
      if (reopen === undefined) return this.skip();
      await store.write(appWrite("web", 0n));
      await store.write(groupWrite("a", 0n, ["web"]));
      const { cluster } = store;
      store = await reopen();
      assert.deepEqual(store.cluster, cluster);
      assert.equal(bodyOf(await store.get(web)), "web@1");
      assert.deepEqual(await store.groupsNaming("app", "web"), ["a"]);
    });
  });
}
