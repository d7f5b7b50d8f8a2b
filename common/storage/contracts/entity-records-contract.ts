import { strict as assert } from "node:assert";
import { isNebulaError } from "../../errors/nebula-error.ts";
import { readHistory } from "../../testing/read-all.ts";
import type { ConfigStore, EntityKind, EntityRecord } from "../config-store.ts";
import { appWrite, bodyOf, freshName, groupWrite } from "./config-store-samples.ts";
import { collect } from "./records.ts";

/** The contract of ConfigStore for a move to another store, while nothing else uses it. */
export function describeEntityRecords(opened: () => ConfigStore): void {
  describe("records for another store", () => {
    let store: ConfigStore;
    let id: string;
    const written = async (...write: Parameters<ConfigStore["write"]>) => assert.deepEqual(await store.write(...write), { kind: "written" });
    beforeEach(() => {
      store = opened();
      id = freshName("move");
    });
    const own = (kind: EntityKind) => collect(store.records.everything(kind), ({ name }) => name.startsWith(id));
    /** The record under another name, as if it came from another store. */
    function renamed({ name, newest, history, ...record }: EntityRecord, to: string): EntityRecord {
      return { ...record, name: to, newest: { ...newest, name: to }, history: history.map((revision) => ({ ...revision, name: to })) };
    }
    const read = async (kind: EntityKind, name: string) => {
      const { newest, ...record } = (await own(kind)).find((each) => each.name === name) ?? assert.fail(`${name} is missing`);
      return { ...record, newest };
    };

    it("all entities are handed over, each once, with tombstones, members and every kept revision", async () => {
      await written(appWrite(`${id}-web`, 0n));
      await written(appWrite(`${id}-web`, 1n));
      await written(appWrite(`${id}-web`, 2n, { deleted: true, action: "delete" }));
      await written(appWrite(`${id}-job`, 0n, { kind: "cron_job" }));
      await written(groupWrite(`${id}-a`, 0n, ["web", "api", "web"], ["job"]));
      const [web, ...others] = await own("app");
      assert.deepEqual(others, []);
      assert.ok(web?.newest.deleted && web.newest.action === "delete" && web.newest.revision === 3n);
      assert.deepEqual(web.history.map(bodyOf), [`${id}-web@3`, `${id}-web@2`, `${id}-web@1`]);
      assert.deepEqual(web.members, { apps: [], cronJobs: [] });
      assert.deepEqual(
        (await own("cron_job")).map(({ name }) => name),
        [`${id}-job`],
      );
      assert.deepEqual(
        (await own("device_group")).map(({ name, members }) => [name, members]),
        [[`${id}-a`, { apps: ["api", "web"], cronJobs: ["job"] }]],
      );
      assert.deepEqual(await store.records.counterpart(web), web);
      assert.equal(await store.records.counterpart(renamed(web, `${id}-absent`)), undefined);
    });

    it("an adopted entity has its revisions, history, lists and lookups, and is written on from there", async () => {
      await written(groupWrite(`${id}-a`, 0n, [`${id}-web`], [`${id}-job`], { revision: 7n }));
      await written(groupWrite(`${id}-a`, 7n, [`${id}-web`], [], { revision: 9n }));
      const record = renamed(await read("device_group", `${id}-a`), `${id}-B`);
      for (let time = 0; time < 2; time++) {
        await store.records.adopt(record);
        assert.deepEqual(await store.records.counterpart(record), record);
      }
      const key = { kind: "device_group", name: `${id}-B` } as const;
      assert.deepEqual(await store.get(key), record.newest);
      assert.deepEqual(await readHistory(store, key), record.history);
      assert.deepEqual(await store.revisions([key]), [9n]);
      assert.deepEqual(await store.groupsNaming("app", `${id}-web`), [`${id}-B`, `${id}-a`]);
      assert.deepEqual(await store.groupsNaming("cron_job", `${id}-job`), []);
      assert.deepEqual(await store.namesInOtherCase({ ...key, name: `${id}-b` }), [`${id}-B`]);
      const listed = await store.list("device_group", { limit: 2, after: id });
      assert.deepEqual(
        listed.items.map(({ name }) => name),
        [`${id}-B`, `${id}-a`],
      );
      await written(groupWrite(`${id}-B`, 9n, [], [], { revision: 10n }));
      assert.deepEqual(await store.groupsNaming("app", `${id}-web`), [`${id}-a`]);
      assert.deepEqual(
        (await readHistory(store, key)).map(({ revision }) => revision),
        [10n, 9n, 7n],
      );
    });

    it("an adopted tombstone is in no list, and its revisions are not given again", async () => {
      await written(appWrite(`${id}-web`, 0n));
      await written(appWrite(`${id}-web`, 1n, { deleted: true, action: "delete" }));
      await store.records.adopt(renamed(await read("app", `${id}-web`), `${id}-gone`));
      assert.deepEqual(
        (await store.list("app", { limit: 1, after: id })).items.filter(({ name }) => name.startsWith(id)),
        [],
      );
      assert.deepEqual(await store.write(appWrite(`${id}-gone`, 0n)), { kind: "conflict", revision: 2n });
      await written(appWrite(`${id}-gone`, 2n));
    });

    it("a record is refused where another one has its name, which stays as it is", async () => {
      await written(appWrite(`${id}-web`, 0n));
      await written(appWrite(`${id}-api`, 0n));
      await written(appWrite(`${id}-api`, 1n));
      const before = await read("app", `${id}-api`);
      await assert.rejects(store.records.adopt(renamed(await read("app", `${id}-web`), `${id}-api`)), (error) =>
        isNebulaError(error, "failed_precondition"),
      );
      assert.deepEqual(await read("app", `${id}-api`), before);
    });

    it("an entity with a history of many large revisions is adopted whole", async () => {
      const body = new Uint8Array(60_000).fill(7);
      for (let revision = 0n; revision < 20n; revision++) await written(appWrite(`${id}-web`, revision, { body }));
      const record = renamed(await read("app", `${id}-web`), `${id}-large`);
      assert.equal(record.history.length, 20);
      await store.records.adopt(record);
      assert.deepEqual(await readHistory(store, { kind: "app", name: `${id}-large` }), record.history);
    });

    it("the store takes the identity of another cluster in place of its own", async () => {
      const before = store.cluster;
      const other = { id: "0123456789abcdef0123456789abcdef", epoch: 0n };
      for (const identity of [other, { ...other, epoch: 5n }, before]) {
        await store.becomeCluster(identity);
        await store.becomeCluster(identity);
        assert.deepEqual([store.cluster, await store.readCluster()], [identity, identity]);
      }
    });
  });
}
