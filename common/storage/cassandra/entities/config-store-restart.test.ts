import { strict as assert } from "node:assert";
import { systemClock } from "../../../clock/system-clock.ts";
import { isNebulaError } from "../../../errors/nebula-error.ts";
import { eventually } from "../../../testing/eventually.ts";
import { readHistory } from "../../../testing/read-all.ts";
import type { TestContainer } from "../../../testing/test-container.ts";
import { createStoppableKeyspace, type TestKeyspace } from "../../../testing/test-keyspace.ts";
import type { ConfigStore, EntityKey } from "../../config-store.ts";
import { appWrite, freshName } from "../../contracts/config-store-samples.ts";
import { openCassandraConfigStore } from "./config-store.ts";

/** One writer of a name, who notes what was acknowledged. */
class Writer {
  readonly acknowledged = new Map<bigint, string>();
  unknown = 0;
  failed = 0;
  readonly #store: ConfigStore;
  readonly #key: EntityKey;
  readonly #by: string;

  constructor(store: ConfigStore, key: EntityKey, by: string) {
    this.#store = store;
    this.#key = key;
    this.#by = by;
  }

  async run(signal: AbortSignal): Promise<void> {
    for (let written = 0; !signal.aborted; written++) {
      const by = `${this.#by}-${written}`;
      try {
        const [expected = 0n] = await this.#store.revisions([this.#key]);
        const outcome = await this.#store.write(appWrite(this.#key.name, expected, { changedBy: by }));
        if (outcome.kind === "written") this.acknowledged.set(expected + 1n, by);
        if (outcome.kind === "unknown") this.unknown++;
      } catch (error) {
        assert.ok(isNebulaError(error, "unavailable"), String(error));
        this.failed++;
        await systemClock.sleep(50, signal).catch(() => {});
      }
    }
  }
}

describe("a Cassandra that is killed and started again in the middle", function () {
  this.timeout(150_000);
  let keyspace: TestKeyspace;
  let container: TestContainer;
  before(async function () {
    ({ keyspace, container } = await createStoppableKeyspace(this));
  });
  after(async () => await keyspace?.[Symbol.asyncDispose]());

  it("a Cassandra that is killed and restarted loses no acknowledged write, gives no revision twice, and is used again by the same client", async () => {
    const store = await openCassandraConfigStore({ client: keyspace.client, clock: systemClock });
    const shared: EntityKey = { kind: "app", name: freshName("shared") };
    const own: EntityKey = { kind: "app", name: freshName("own") };
    const writers = [new Writer(store, shared, "ann"), new Writer(store, shared, "bob"), new Writer(store, own, "cid")];
    const over = new AbortController();
    const running = Promise.all(writers.map((writer) => writer.run(over.signal)));
    const count = () => writers.map(({ acknowledged }) => acknowledged.size);
    await eventually(() => count().every((size) => size >= 5), { timeoutMs: 20_000 });
    await container.kill();
    const before = count();
    await eventually(() => writers.every(({ failed, unknown }) => failed + unknown > 0), { timeoutMs: 20_000 });
    await container.startAgain();
    await eventually(() => count().every((size, index) => size >= (before[index] ?? 0) + 5), { timeoutMs: 60_000 });
    over.abort();
    await running;
    for (const key of [shared, own]) {
      const history = await readHistory(store, key);
      const found = new Map(history.map(({ revision, changedBy }) => [revision, changedBy]));
      assert.equal(found.size, history.length, "a revision was given twice");
      assert.deepEqual(
        history.map(({ revision }) => revision),
        Array.from({ length: history.length }, (_, i) => BigInt(history.length - i)),
      );
      assert.equal((await store.get(key))?.revision, history[0]?.revision);
      const here = writers.filter((writer) => (writer === writers[2]) === (key === own));
      for (const { acknowledged } of here)
        for (const [revision, by] of acknowledged) assert.equal(found.get(revision), by, `${key.name} at ${revision}`);
    }
  });
});
