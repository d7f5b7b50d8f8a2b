import { strict as assert } from "node:assert";
import { isNebulaError, NebulaError } from "../../errors/nebula-error.ts";
import { readHistory } from "../../testing/read-all.ts";
import type { ConfigStore, EntityKey, StoredEntity } from "../config-store.ts";
import { appWrite, bodyOf, freshName, groupWrite, listFrom } from "./config-store-samples.ts";

/** The contract of ConfigStore for `nebula migrate`, while nothing else uses it. */
export function describeOfflineOperations(opened: () => ConfigStore): void {
  describe("offline operations", () => {
    let store: ConfigStore;
    let id: string;
    let web: EntityKey;
    let group: EntityKey;
    const written = async (...write: Parameters<ConfigStore["write"]>) => assert.deepEqual(await store.write(...write), { kind: "written" });
    beforeEach(async () => {
      store = opened();
      id = freshName("offline");
      web = { kind: "app", name: `${id}-web` };
      group = { kind: "device_group", name: `${id}-a` };
      await written(appWrite(web.name, 0n));
      await written(appWrite(web.name, 1n));
      await written(appWrite(web.name, 2n, { deleted: true, action: "delete" }));
      await written(groupWrite(group.name, 0n, [web.name], ["job"]));
    });

    const shouted = (stored: StoredEntity) => (stored.name.startsWith(id) ? Buffer.from(bodyOf(stored).toUpperCase()) : undefined);
    const everything = async () => [
      ...(await readHistory(store, web)),
      await store.get(web),
      ...(await readHistory(store, group)),
      await store.get(group),
    ];
    const bodies = async () => (await everything()).map((entity) => bodyOf(entity).slice(id.length));

    it("an offline rewrite changes bodies of entities, tombstones and every kept revision, and nothing else of them", async () => {
      const before = await everything();
      assert.ok((await store.rewriteBodies(shouted)) >= 4);
      assert.deepEqual(await bodies(), ["-WEB@3", "-WEB@2", "-WEB@1", "-WEB@3", "-A@1", "-A@1"]);
      const rest = (entities: readonly (StoredEntity | undefined)[]) => entities.map((entity) => ({ ...entity, body: undefined }));
      assert.deepEqual(rest(await everything()), rest(before));
      assert.deepEqual(await store.groupsNaming("app", web.name), [group.name]);
      await written(appWrite(web.name, 3n));
    });

    it("an offline rewrite leaves bodies alone where the caller says so, and all of them when one cannot be rewritten", async () => {
      const before = await bodies();
      assert.equal(await store.rewriteBodies(() => undefined), 0);
      const refuse = (stored: StoredEntity) => {
        if (stored.name === group.name) throw new NebulaError("failed_precondition", "not this one");
        return shouted(stored);
      };
      await assert.rejects(store.rewriteBodies(refuse), (error) => isNebulaError(error, "failed_precondition") && error.message === "not this one");
      assert.deepEqual(await bodies(), before);
      assert.ok((await store.rewriteBodies((stored) => (stored.kind === "app" ? shouted(stored) : undefined))) >= 3);
      assert.deepEqual(await bodies(), ["-WEB@3", "-WEB@2", "-WEB@1", "-WEB@3", "-a@1", "-a@1"]);
    });

    it("an offline raise of the epoch exceeds every earlier one and the seconds of now, and keeps the id and the entities", async () => {
      const { id: cluster, epoch: first } = store.cluster;
      assert.match(cluster, /^[0-9a-f]{32}$/);
      const seconds = first < 2_000_000_000n ? 2_000_000_000n : first + 1000n;
      assert.deepEqual(await store.raiseEpoch(Number(seconds) * 1000 + 999), { id: cluster, epoch: seconds });
      assert.deepEqual(await store.raiseEpoch(1_600_000_000_000), { id: cluster, epoch: seconds + 1n });
      assert.deepEqual(store.cluster, { id: cluster, epoch: seconds + 1n });
      assert.deepEqual(await store.readCluster(), { id: cluster, epoch: seconds + 1n });
      assert.deepEqual(await store.groupsNaming("app", web.name), [group.name]);
    });

    it("an offline rewrite reaches thousands of names", async () => {
      const names = Array.from({ length: 1500 }, (_, i) => `${id}-${String(i).padStart(4, "0")}`);
      for (let i = 0; i < names.length; i += 50) await Promise.all(names.slice(i, i + 50).map((name) => written(appWrite(name, 0n))));
      const listed = await listFrom(store, id, 1000);
      assert.deepEqual(listed.names, names);
      assert.equal(listed.pages, 2);
      const asked = new Set<string>();
      await store.rewriteBodies((stored) => {
        asked.add(stored.name);
        return shouted(stored);
      });
      assert.ok(names.every((name) => asked.has(name)));
      const found = await store.getMany("app", names);
      assert.ok(names.every((name) => bodyOf(found.get(name)) === `${name.toUpperCase()}@1`));
    });
  });
}
