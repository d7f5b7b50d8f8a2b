import { strict as assert } from "node:assert";
import { systemClock } from "../../../clock/system-clock.ts";
import { isNebulaError, NebulaError } from "../../../errors/nebula-error.ts";
import { readHistory } from "../../../testing/read-all.ts";
import { requireServer } from "../../../testing/servers.ts";
import { createTestKeyspace, type TestKeyspace } from "../../../testing/test-keyspace.ts";
import type { ConfigStore, EntityKey } from "../../config-store.ts";
import { appWrite, bodyOf, freshName } from "../../contracts/config-store-samples.ts";
import type { ConditionalOutcome, Query, Rows, StoreClient } from "../connection/client.ts";
import { openCassandraConfigStore } from "./config-store.ts";

describe("entities on Cassandra", function () {
  this.timeout(60_000);
  let keyspace: TestKeyspace;
  let store: ConfigStore;
  let web: EntityKey;
  before(async function () {
    keyspace = await createTestKeyspace(await requireServer(this, "cassandra"));
    store = await openCassandraConfigStore({ client: keyspace.client, clock: systemClock });
  });
  after(async () => await keyspace?.[Symbol.asyncDispose]());
  beforeEach(() => {
    web = { kind: "app", name: freshName("web") };
  });

  /** The store over a client of which a test replaces some methods. */
  const over = (methods: Partial<StoreClient>) => {
    const { client } = keyspace;
    const plain: StoreClient = {
      execute: (...call) => client.execute(...call),
      executeMany: (...call) => client.executeMany(...call),
      conditional: (...call) => client.conditional(...call),
      settled: (...call) => client.settled(...call),
      define: (...call) => client.define(...call),
    };
    return openCassandraConfigStore({ client: { ...plain, ...methods }, clock: systemClock });
  };

  /** The store whose first try of each batch has no answer: `first` says what becomes of it, then it is repeated unchanged. */
  const repeating = (first: (send: () => Promise<ConditionalOutcome>) => Promise<unknown>) =>
    over({
      async conditional(table, queries, signal) {
        const send = () => keyspace.client.conditional(table, queries, signal);
        await first(send);
        const again = await send();
        return again.kind === "refused" ? { ...again, repeated: true } : again;
      },
    });

  const unknownOutcomes = async (settled: string) => {
    const metric = await keyspace.registry.getSingleMetric("nebula_store_unknown_outcomes_total")?.get();
    return metric?.values.find(({ labels }) => labels.settled === settled && labels.table === "entity")?.value ?? 0;
  };

  describe("a write whose first try had no answer", () => {
    it("a write whose first try was applied without an answer succeeds, and is in the history once", async () => {
      const before = await unknownOutcomes("written");
      const lossy = await repeating((send) => send());
      assert.deepEqual(await lossy.write(appWrite(web.name, 0n)), { kind: "written" });
      assert.deepEqual(await lossy.write(appWrite(web.name, 1n)), { kind: "written" });
      assert.deepEqual(
        (await readHistory(store, web)).map(({ revision }) => revision),
        [2n, 1n],
      );
      assert.equal(await unknownOutcomes("written"), before + 2);
    });

    it("a write whose first try was not applied and had no answer succeeds", async () => {
      const lossy = await repeating(async () => {});
      assert.deepEqual(await lossy.write(appWrite(web.name, 0n)), { kind: "written" });
      assert.equal(bodyOf(await store.get(web)), `${web.name}@1`);
    });

    it("a write that was applied without an answer succeeds where others have written since", async () => {
      const lossy = await repeating(async (send) => {
        await send();
        assert.deepEqual(await store.write(appWrite(web.name, 1n, { changedBy: "bob" })), { kind: "written" });
      });
      assert.deepEqual(await lossy.write(appWrite(web.name, 0n)), { kind: "written" });
      assert.deepEqual(
        (await readHistory(store, web)).map(({ changedBy }) => changedBy),
        ["bob", "alice"],
      );
    });

    it("a write without an answer is a conflict where another writer won", async () => {
      const before = await unknownOutcomes("conflict");
      await store.write(appWrite(web.name, 0n));
      const lossy = await repeating(async () => {
        assert.deepEqual(await store.write(appWrite(web.name, 1n, { changedBy: "bob" })), { kind: "written" });
      });
      assert.deepEqual(await lossy.write(appWrite(web.name, 1n, { body: Buffer.from("loser") })), { kind: "conflict", revision: 2n });
      assert.equal((await store.get(web))?.changedBy, "bob");
      assert.equal(await unknownOutcomes("conflict"), before + 1);
    });

    it("a write without an answer is a conflict where another writer jumped over its revision", async () => {
      await store.write(appWrite(web.name, 0n));
      const lossy = await repeating(async () => {
        await store.write(appWrite(web.name, 1n, { revision: 50n }));
      });
      assert.deepEqual(await lossy.write(appWrite(web.name, 1n)), { kind: "conflict", revision: 50n });
    });

    it("a write without an answer is unknown when the time is over, and its index rows do no harm", async () => {
      const silent = await over({ conditional: async () => ({ kind: "unknown" }) });
      assert.deepEqual(await silent.write(appWrite(web.name, 0n)), { kind: "unknown" });
      assert.equal(await store.get(web), undefined);
      assert.ok(!(await store.list("app", { limit: 10, after: web.name.slice(0, -1) })).items.some(({ name }) => name === web.name));
      assert.deepEqual(await store.write(appWrite(web.name, 0n)), { kind: "written" });
    });
  });

  describe("a read that meets a write which hangs", () => {
    const isState = (query: Query) => query.cql.includes("state");

    /** A store whose replicas answer a state as it was read before, with this head. */
    async function torn(old: Rows, head: bigint | undefined): Promise<{ store: ConfigStore; serial: () => number }> {
      let serial = 0;
      const answer: Rows = { ...old, rows: old.rows.map((row) => ({ ...row, ...(head === undefined ? {} : { head }) })) };
      const lagging = await over({
        async execute(query, options) {
          if (options.kind === "serial_read") serial++;
          return isState(query) && options.kind === "read" ? answer : keyspace.client.execute(query, options);
        },
        async executeMany(cql, values, options) {
          return isState({ cql, params: [] }) ? values.map(() => answer.rows) : keyspace.client.executeMany(cql, values, options);
        },
      });
      return { store: lagging, serial: () => serial };
    }

    const readOld = () =>
      keyspace.client.execute(
        { cql: "SELECT DISTINCT kind, name, head, state FROM entity WHERE kind = ? AND name = ?", params: [web.kind, web.name] },
        { table: "entity", kind: "read" },
      );

    it("a read that meets a hanging write is repeated at SERIAL where `head` is newer than the state", async () => {
      await store.write(appWrite(web.name, 0n));
      const old = await readOld();
      await store.write(appWrite(web.name, 1n));
      const lagging = await torn(old, 2n);
      assert.equal(bodyOf(await lagging.store.get(web)), `${web.name}@2`);
      assert.equal(bodyOf((await lagging.store.getMany("app", [web.name])).get(web.name)), `${web.name}@2`);
      assert.equal(lagging.serial(), 2);
    });

    it("a read is repeated at SERIAL where the state is below an announced revision, and otherwise not", async () => {
      await store.write(appWrite(web.name, 0n));
      const old = await readOld();
      await store.write(appWrite(web.name, 1n));
      const lagging = await torn(old, undefined);
      assert.equal((await lagging.store.get(web, { atLeast: 1n }))?.revision, 1n);
      assert.equal(lagging.serial(), 0);
      assert.equal((await lagging.store.get(web, { atLeast: 2n }))?.revision, 2n);
      assert.equal((await lagging.store.getMany("app", [web.name], { atLeast: new Map([[web.name, 2n]]) })).get(web.name)?.revision, 2n);
      assert.equal(lagging.serial(), 2);
    });

    it("a read that meets a hanging write does not report a conflict for it", async () => {
      await store.write(appWrite(web.name, 0n));
      const old = await readOld();
      await store.write(appWrite(web.name, 1n));
      const lagging = await torn(old, undefined);
      assert.deepEqual(await lagging.store.write(appWrite(web.name, 2n)), { kind: "written" });
      assert.deepEqual(await lagging.store.write(appWrite(web.name, 1n)), { kind: "conflict", revision: 3n });
    });
  });

  it("a write trims the history by its bytes, with the first revision of a hundred", async () => {
    const body = Buffer.alloc(150 * 1024, "x"); // 109 of them are within 16 MiB
    await store.write(appWrite(web.name, 0n, { revision: 1040n }));
    for (let expected = 1040n; expected < 1202n; expected++)
      assert.deepEqual(await store.write(appWrite(web.name, expected, { body })), { kind: "written" });
    const kept = await readHistory(store, web);
    assert.ok(kept.length >= 109 && kept.length <= 112, `${kept.length} kept`);
    assert.equal(kept[0]?.revision, 1202n);
  });

  it("a write answers `unavailable` for errors of the backend, and passes an error of the program on", async () => {
    const absent = await over({
      execute: async (query, options) => {
        if (options.table === "cluster") return keyspace.client.execute(query, options);
        throw new NebulaError("unavailable", "no node answers");
      },
    });
    await assert.rejects(absent.get(web), (error) => isNebulaError(error, "unavailable"));
    await assert.rejects(absent.write(appWrite(web.name, 0n)), (error) => isNebulaError(error, "unavailable"));
    const fault = new TypeError("a fault of the program");
    const faulty = await over({
      conditional: async () => {
        throw fault;
      },
    });
    await assert.rejects(faulty.write(appWrite(web.name, 0n)), (error) => error === fault);
  });
});
