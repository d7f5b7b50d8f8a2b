import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { openCassandra } from "../../common/storage/cassandra/open-cassandra.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { requireDocker } from "../../common/testing/require-docker.ts";
import type { TestContainer } from "../../common/testing/test-container.ts";
import { createTestKeyspace, openOptions, type TestKeyspace } from "../../common/testing/test-keyspace.ts";
import { CassandraRing } from "./cassandra-ring.ts";

// Three nodes of Cassandra: for the long run alone.
if (process.env.NEBULA_TEST_LONG === "1") {
  describe("a cluster on three nodes of Cassandra, with three copies of each row", function () {
    this.timeout(900_000);
    let ring: CassandraRing;
    before("start Cassandra", async function () {
      await requireDocker(this);
      ring = await CassandraRing.start();
    });
    after(async () => await ring?.[Symbol.asyncDispose]());

    describe("its client of Cassandra", () => describeClient(() => ring));
  });
}

function describeClient(ringOf: () => CassandraRing): void {
  let keyspace: TestKeyspace;
  before("make the tables", async () => {
    keyspace = await createTestKeyspace(ringOf().server);
  });
  after(async () => await keyspace?.[Symbol.asyncDispose]());
  afterEach("have all nodes run", () => ringOf().startAgain());

  /** @param limit makes a statement of its own of it, which the nodes have to prepare */
  const read = (client = keyspace.client, limit = 1) => {
    const cql = `SELECT head, state FROM entity WHERE kind = ? AND name = ? LIMIT ${limit}`;
    return client.execute({ cql, params: ["app", `read-${randomUUID()}`] }, { table: "entity", kind: "read" });
  };
  const isUp = (node: TestContainer) => keyspace.client.nodes().some(({ address, up }) => address === node.address && up);
  const allAreUp = () => eventually(() => ringOf().nodes.every(isUp), { timeoutMs: 60_000 });
  const write = async () => {
    const name = `written-${randomUUID()}`;
    const batch = [
      { cql: "UPDATE entity SET head = ? WHERE kind = ? AND name = ? IF head = ?", params: [1n, "app", name, null] },
      { cql: "INSERT INTO entity (kind, name, revision, writer) VALUES (?, ?, ?, ?)", params: ["app", name, 1n, name] },
    ];
    const outcome = await keyspace.client.conditional("entity", batch);
    assert.ok(outcome.kind === "applied" || (outcome.kind === "refused" && outcome.repeated), `the batch was ${outcome.kind}`);
  };
  const withoutAnswer = async () => {
    const text = await keyspace.registry.metrics();
    const counts = text.matchAll(/^nebula_store_request_seconds_count\{.*kind="conditional".*result="failed"\} (\d+)$/gm);
    return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
  };

  it("the client asks a paused node no more once it was silent, and asks it again when it goes on", async () => {
    const ring = ringOf();
    for (let n = 0; n < 60; n++) await Promise.all([write(), read()]);
    for (const node of ring.nodes) {
      await node.pause();
      for (let n = 0; n < 60; n++) await read(); // each of them has an answer: the paused node is asked first by some
      const before = await withoutAnswer();
      for (let n = 0; n < 60; n++) await write();
      const count = (await withoutAnswer()) - before;
      assert.ok(count <= 1, `${count} batches went to the paused node`); // one may be late on a slow machine
      await eventually(() => !isUp(node), { timeoutMs: 60_000 });
      await ring.startAgain();
      await allAreUp();
    }
  });

  it("the client repeats a batch that a paused node took on another one, until it is applied", async () => {
    const ring = ringOf();
    for (const node of ring.nodes) {
      const before = await withoutAnswer();
      await node.pause();
      // At once, before the client can know: some of them go to the paused node.
      await Promise.all(Array.from({ length: 30 }, write));
      assert.ok((await withoutAnswer()) > before, "no batch went to the paused node");
      await ring.startAgain();
      await allAreUp();
    }
  });

  it("the client reads with statements that no node has prepared yet, while one is paused", async () => {
    const ring = ringOf();
    for (const [index, node] of ring.nodes.entries()) {
      await node.pause();
      for (let n = 1; n <= 20; n++) await read(keyspace.client, 1 + 20 * index + n);
      await ring.startAgain();
      await allAreUp();
    }
  });

  it("a client opens, and reads, while a node is paused", async () => {
    const ring = ringOf();
    for (const node of ring.nodes) {
      await node.pause();
      await using client = await openCassandra(openOptions(keyspace.url));
      for (let n = 0; n < 20; n++) await read(client);
      await ring.startAgain();
    }
  });
}
