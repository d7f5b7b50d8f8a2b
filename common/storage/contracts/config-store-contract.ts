import { strict as assert } from "node:assert";
import { isNebulaError, NebulaError } from "../../errors/nebula-error.ts";
import { readHistory } from "../../testing/read-all.ts";
import type { ConfigStore, EntityKey } from "../config-store.ts";
import { describeOfflineOperations } from "./config-store-offline-contract.ts";
import { appWrite, bodyOf, freshName, groupWrite, listFrom } from "./config-store-samples.ts";
import { describeEntityRecords } from "./entity-records-contract.ts";

export type OpenedConfigStore = Readonly<{
  store: ConfigStore;
  /** Opens what is stored once more, as another process has it. */
  reopen: () => Promise<ConfigStore>;
}>;

/** The contract of ConfigStore. `open` yields a store that the whole suite uses, under fresh names. */
export function describeConfigStore(driver: string, open: (context: Mocha.Context) => Promise<OpenedConfigStore>): void {
  describe(`ConfigStore: ${driver}`, function () {
    this.timeout(60_000);
    let opened: OpenedConfigStore;
    let store: ConfigStore;
    let web: EntityKey;
    before(async function () {
      opened = await open(this);
      store = opened.store;
    });
    after(async () => {
      await store?.[Symbol.asyncDispose]();
    });
    beforeEach(() => {
      web = { kind: "app", name: freshName("web") };
    });
    const writeApp = async (...write: Parameters<typeof appWrite>) => assert.deepEqual(await store.write(appWrite(...write)), { kind: "written" });
    const writeGroup = async (...write: Parameters<typeof groupWrite>) =>
      assert.deepEqual(await store.write(groupWrite(...write)), { kind: "written" });

    describeEntityRecords(() => opened.store);
    describeOfflineOperations(() => opened.store); // first: they go through everything that is stored

    it("a page token that the store never gave is refused", async () => {
      for (const after of ["no name", "\0", "WyJyZXBvcnRzIl0="]) {
        await assert.rejects(store.list("app", { limit: 10, after }), (error) => isNebulaError(error, "invalid_argument"));
      }
    });

    it("the names of a kind that differ in case alone are found, and deleted ones are not", async () => {
      const id = freshName("");
      const spelled = (word: string) => `${word}${id}`;
      for (const word of ["web", "Web", "WEB", "web-2", "weB"]) await writeApp(spelled(word), 0n);
      await writeGroup(spelled("wEb"), 0n, []);
      await writeApp(spelled("weB"), 1n, { deleted: true });
      const others = async (kind: EntityKey["kind"], word: string) => store.namesInOtherCase({ kind, name: spelled(word) });
      assert.deepEqual(await others("app", "web"), ["WEB", "Web"].map(spelled));
      assert.deepEqual(await others("app", "wEB"), ["WEB", "Web", "web"].map(spelled));
      assert.deepEqual(await others("app", "web_2"), []);
      assert.deepEqual(await others("cron_job", "web"), []);
    });

    it("a mark of a component that runs can be removed, also twice", async () => {
      const mark = { id: freshName("mark"), component: freshName("manager") };
      await store.markRunning(mark, 30);
      await store.markRunning(mark, 30);
      await store.markRunning(mark, 0);
      await store.markRunning(mark, 0);
      assert.ok(!(await store.runningComponents()).includes(mark.component));
    });

    it("a name that was never used is not found", async () => {
      assert.equal(await store.get(web), undefined);
      assert.deepEqual(await store.revisions([web]), [0n]);
      assert.deepEqual([...(await store.getMany("app", [web.name])).keys()], []);
      assert.deepEqual(await store.history(web, { limit: 10 }), { items: [], next: undefined });
    });

    it("an entity is read back as written, in every part", async () => {
      const write = appWrite(web.name, 0n);
      assert.deepEqual(await store.write(write), { kind: "written" });
      const { expected, ...entity } = write;
      for (const read of [await store.get(web), (await store.getMany("app", [web.name])).get(web.name), (await readHistory(store, web))[0]]) {
        assert.equal(bodyOf(read), bodyOf(write));
        assert.deepEqual({ ...read, body: undefined }, { ...entity, body: undefined });
      }
      assert.equal(expected, 0n);
    });

    it("a write that expects another revision is refused, and changes nothing", async () => {
      await writeApp(web.name, 0n);
      await writeApp(web.name, 1n);
      for (const expected of [0n, 1n, 3n]) {
        const loser = appWrite(web.name, expected, { body: Buffer.from("loser") });
        assert.deepEqual(await store.write(loser), { kind: "conflict", revision: 2n });
      }
      assert.equal(bodyOf(await store.get(web)), `${web.name}@2`);
      assert.deepEqual(
        (await readHistory(store, web)).map((entity) => [entity.revision, bodyOf(entity)]),
        [
          [2n, `${web.name}@2`],
          [1n, `${web.name}@1`],
        ],
      );
    });

    it("a revision may jump, as an import does, and the next continues from there", async () => {
      await writeApp(web.name, 0n, { revision: 41n });
      await writeApp(web.name, 41n);
      assert.deepEqual(await store.revisions([web]), [42n]);
    });

    it("a revision that does not rise is refused", async () => {
      await writeApp(web.name, 0n);
      await assert.rejects(store.write(appWrite(web.name, 1n, { revision: 1n })), (error) => isNebulaError(error));
    });

    it("a revision goes to exactly one of 8 writers that race", async () => {
      const winners = new Map<bigint, string>();
      const writes = 6;
      const race = async (writer: string) => {
        for (let done = 0; done < writes; ) {
          const [revision = 0n] = await store.revisions([web]);
          const by = `${writer}-${done}`;
          const outcome = await store.write(appWrite(web.name, revision, { changedBy: by, body: Buffer.from(by) }));
          const unknown = outcome.kind === "unknown" && (await readHistory(store, web)).some(({ changedBy }) => changedBy === by);
          if (outcome.kind !== "written" && !unknown) continue;
          assert.equal(winners.has(revision + 1n), false, "a revision was given twice");
          winners.set(revision + 1n, by);
          done++;
        }
      };
      await Promise.all(Array.from({ length: 8 }, (_, i) => race(`writer-${i}`)));
      assert.deepEqual(await store.revisions([web]), [48n]);
      const history = await readHistory(store, web);
      assert.equal(history.length, 48);
      for (const entity of history) assert.equal(entity.changedBy, winners.get(entity.revision));
    });

    it("a deleted name stays as a tombstone that lists skip and a create continues (R1)", async () => {
      await writeApp(web.name, 0n);
      await writeApp(web.name, 1n, { deleted: true, action: "delete" });
      const tombstone = await store.get(web);
      assert.equal(tombstone?.deleted, true);
      assert.equal(tombstone?.revision, 2n);
      const listed = async () => (await store.list("app", { limit: 1, after: web.name.slice(0, -1) })).items.some(({ name }) => name === web.name);
      assert.equal(await listed(), false);
      assert.deepEqual(await store.write(appWrite(web.name, 0n)), { kind: "conflict", revision: 2n });
      await writeApp(web.name, 2n, { action: "create" });
      assert.equal((await store.get(web))?.deleted, false);
      assert.equal(await listed(), true);
    });

    it("kinds are kept apart", async () => {
      await writeApp(web.name, 0n);
      const job: EntityKey = { kind: "cron_job", name: web.name };
      assert.equal(await store.get(job), undefined);
      assert.deepEqual(await store.revisions([job, web]), [0n, 1n]);
    });

    it("entities are listed by name, page by page, each name once", async () => {
      const names = Array.from({ length: 25 }, (_, i) => `${web.name}-${String(i).padStart(3, "0")}`);
      for (const name of [...names].reverse()) await writeApp(name, 0n);
      const listed = await listFrom(store, web.name, 10);
      assert.deepEqual(listed.names, names);
      assert.deepEqual([listed.pages, listed.fullest], [3, 10]);
      assert.deepEqual(await store.list("app", { limit: 10, after: "z".repeat(63) }), { items: [], next: undefined });
    });

    it("names are listed in pages after any text, each name once, and those of deleted entities go", async () => {
      const names = Array.from({ length: 25 }, (_, i) => `${web.name}-${String(i).padStart(3, "0")}`);
      for (const name of [...names].reverse()) await writeApp(name, 0n, { body: Buffer.alloc(1024) });
      await writeGroup(`${web.name}-0005`, 0n, []);
      const read: string[] = [];
      for (let after = `${web.name},~`; ; after = read.at(-1) ?? "") {
        const page = await store.names("app", { after, limit: 10 });
        assert.ok(page.length <= 10);
        const own = page.filter((name) => name.startsWith(`${web.name}-`));
        read.push(...own);
        if (own.length < 10) break;
      }
      assert.deepEqual(read, names);
      await writeApp(names[0] ?? "", 1n, { deleted: true });
      assert.deepEqual(await store.names("app", { after: web.name, limit: 2 }), names.slice(1, 3));
      assert.deepEqual(await store.names("app", { after: "z".repeat(63), limit: 10 }), []);
    });

    it("a page ends early rather than exceed the size that a gRPC client takes, and leaves none out", async () => {
      const names = Array.from({ length: 80 }, (_, i) => `${web.name}-${String(i).padStart(2, "0")}`);
      await Promise.all(names.map((name) => writeApp(name, 0n, { body: Buffer.alloc(64 * 1024, name) })));
      const listed = await listFrom(store, web.name, 1000);
      assert.deepEqual(listed.names, names);
      assert.ok(listed.largest < 4 * 1024 * 1024, `${listed.largest} bytes in a page`);
    });

    it("a page of the history ends early rather than exceed the size that a gRPC client takes, and leaves none out", async () => {
      for (let expected = 0n; expected < 80n; expected++) await writeApp(web.name, expected, { body: Buffer.alloc(64 * 1024, "x") });
      let [largest, pages] = [0, 0];
      const measured: ConfigStore["history"] = async (...call) => {
        const page = await store.history(...call);
        const size = page.items.reduce((bytes, { body }) => bytes + body.byteLength, 0);
        largest = Math.max(largest, size);
        pages++;
        return page;
      };
      const history = await readHistory({ history: measured }, web);
      assert.deepEqual(
        history.map(({ revision }) => revision),
        Array.from({ length: 80 }, (_, i) => 80n - BigInt(i)),
      );
      assert.ok(pages >= 2 && largest < 4 * 1024 * 1024, `${largest} bytes in one of ${pages} pages`);
    });

    it("a read answers the announced revision, or a newer one", async () => {
      const db = freshName("db");
      await writeApp(web.name, 0n);
      await writeApp(web.name, 1n);
      await writeApp(db, 0n);
      assert.equal((await store.get(web, { atLeast: 2n }))?.revision, 2n);
      const many = await store.getMany("app", [web.name, db, freshName("other")], { atLeast: new Map([[web.name, 2n]]) });
      assert.deepEqual([...many.values()].map(({ name, revision }) => [name, revision]).sort(), [
        [db, 1n],
        [web.name, 2n],
      ]);
    });

    it("reads of 500 revisions, and of 500 entities, at a time are answered", async () => {
      const names = Array.from({ length: 500 }, (_, i) => `${web.name}-${i}`);
      await Promise.all(names.slice(0, 250).map((name) => writeApp(name, 0n)));
      const revisions = await store.revisions(names.map((name) => ({ kind: "app", name })));
      assert.deepEqual(
        revisions,
        names.map((_, i) => (i < 250 ? 1n : 0n)),
      );
      assert.deepEqual([...(await store.getMany("app", names)).keys()].sort(), names.slice(0, 250).sort());
    });

    it("an aborted signal rejects with its reason, and nothing is written", async () => {
      await writeApp(web.name, 0n);
      const signal = AbortSignal.abort(new NebulaError("cancelled", "the caller has gone"));
      const calls: (() => Promise<unknown>)[] = [
        () => store.get(web, { signal }),
        () => store.getMany("app", [web.name], { signal }),
        () => store.revisions([web], signal),
        () => store.write(appWrite(web.name, 1n), signal),
        () => store.list("app", { limit: 10 }, signal),
        () => store.names("app", { after: "", limit: 10 }, signal),
        () => store.namesInOtherCase(web, signal),
        () => store.groupsNaming("app", web.name, signal),
        () => store.history(web, { limit: 10 }, signal),
        () => store.readCluster(signal),
      ];
      for (const call of calls) await assert.rejects(call(), (error) => isNebulaError(error, "cancelled") && error.message === "the caller has gone");
      assert.deepEqual(await store.revisions([web]), [1n]);
    });

    it("the groups that name an app or a cron_job are found, as they are now", async () => {
      const id = freshName("");
      const [a, b, db, backup] = [`a${id}`, `b${id}`, `db${id}`, `backup${id}`];
      await writeGroup(b, 0n, [web.name, db], [backup]);
      await writeGroup(a, 0n, [web.name], []);
      assert.deepEqual(await store.groupsNaming("app", web.name), [a, b]);
      assert.deepEqual(await store.groupsNaming("cron_job", backup), [b]);
      assert.deepEqual(await store.groupsNaming("cron_job", web.name), []);
      await writeGroup(b, 1n, [db]);
      assert.deepEqual(await store.groupsNaming("app", web.name), [a]);
      assert.deepEqual(await store.groupsNaming("app", db), [b]);
      assert.deepEqual(await store.groupsNaming("cron_job", backup), []);
      await writeGroup(b, 2n, [db, web.name]);
      assert.deepEqual(await store.groupsNaming("app", web.name), [a, b]);
      await writeGroup(a, 1n, [], [], { deleted: true, action: "delete" });
      assert.deepEqual(await store.groupsNaming("app", web.name), [b]);
    });

    it("the groups of a member that 250 of them name are found", async () => {
      const groups = Array.from({ length: 250 }, (_, i) => `${web.name}-${String(i).padStart(3, "0")}`);
      await Promise.all(groups.map((group) => writeGroup(group, 0n, [web.name])));
      assert.deepEqual(await store.groupsNaming("app", web.name), groups);
    });

    it("a refused write of a group leaves the lookup alone", async () => {
      const [group, other] = [freshName("group"), freshName("other")];
      await writeGroup(group, 0n, [web.name]);
      assert.deepEqual(await store.write(groupWrite(group, 0n, [other])), { kind: "conflict", revision: 1n });
      assert.deepEqual(await store.groupsNaming("app", other), []);
      assert.deepEqual(await store.groupsNaming("app", web.name), [group]);
    });

    it("the history is paged, newest first, and keeps at least the newest 1000 revisions, and little more", async () => {
      for (let expected = 0n; expected < 1110n; expected++) await writeApp(web.name, expected, { body: Buffer.from("x") });
      const revisionsOf = ({ items }: Awaited<ReturnType<ConfigStore["history"]>>) => items.map(({ revision }) => revision);
      const newest = await store.history(web, { limit: 3 });
      assert.deepEqual([revisionsOf(newest), newest.next], [[1110n, 1109n, 1108n], 1108n]);
      assert.deepEqual(revisionsOf(await store.history(web, { before: 1108n, limit: 2 })), [1107n, 1106n]);
      const all = await readHistory(store, web);
      assert.ok(all.length >= 1000 && all.length <= 1100, `${all.length} kept`);
      assert.equal(all.at(-1)?.revision, 1110n - BigInt(all.length) + 1n);
    });

    it("the store holds the same when opened again", async () => {
      const group = freshName("group");
      await writeApp(web.name, 0n);
      await writeGroup(group, 0n, [web.name]);
      const { cluster } = store;
      await using again = await opened.reopen();
      assert.deepEqual(again.cluster, cluster);
      assert.equal(bodyOf(await again.get(web)), `${web.name}@1`);
      assert.deepEqual(await again.groupsNaming("app", web.name), [group]);
    });
  });
}
