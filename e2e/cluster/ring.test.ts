import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { openCassandra } from "../../common/storage/cassandra/open-cassandra.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { requireDocker } from "../../common/testing/require-docker.ts";
import { requireServer } from "../../common/testing/servers.ts";
import type { TestContainer } from "../../common/testing/test-container.ts";
import { createTestKeyspace, openOptions, type TestKeyspace } from "../../common/testing/test-keyspace.ts";
import { CassandraRing } from "./cassandra-ring.ts";
import { ClusterStage } from "./cluster-stage.ts";

/** How long each node is away, milliseconds. */
const OUTAGES_MS = [30_000, 45_000, 60_000];
/** The mean of the time between two changes of an app: three nodes write each of them. Milliseconds. */
const PAUSE_MS = 8000;
/** The fewest writes that all writers together must get acknowledged while a node is away. */
const FEWEST_WRITES = 10;

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
    describe("its 200 devices, whose apps are changed all the time", () => describeDevices(() => ring));
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

function describeDevices(ringOf: () => CassandraRing): void {
  let stage: ClusterStage;
  before("start the cluster and its devices", async function () {
    this.timeout(600_000);
    const [redis, kafka] = [await requireServer(this, "redis"), await requireServer(this, "kafka")];
    stage = await ClusterStage.startOn({ cassandra: ringOf().server, redis, kafka }, { proxied: false, pauseMs: PAUSE_MS });
  });
  after(async () => await stage?.[Symbol.asyncDispose]());
  afterEach("have all nodes run, and start another cluster after a failure", async function () {
    if (this.currentTest?.state !== "failed") return;
    console.log(stage.cluster.lastLogged);
    await ringOf().startAgain();
    stage = await stage.replace();
  });

  /**
   * Has a node be away for a while and come back. Asserts that the writers wrote on meanwhile, and that every client lost its connections to the node and opened
   * others.
   */
  const without = async (node: TestContainer, outageMs: number, leave: () => Promise<void>) => {
    const ring = ringOf();
    const { shards, reporters } = stage.cluster;
    const before = await eventually(
      async () => {
        const clients = await ring.clientsOf(node);
        assert.ok(clients.size >= shards.length + reporters.length, `${clients.size} clients are connected to ${node.address}`);
        return clients;
      },
      { timeoutMs: 60_000, everyMs: 500 },
    );
    const { acknowledged } = stage.trial.writers;
    await leave();
    await delay(outageMs);
    const written = stage.trial.writers.acknowledged - acknowledged;
    await ring.startAgain();
    assert.ok(written >= FEWEST_WRITES, `${written} writes were acknowledged while ${node.address} was away`);
    await eventually(
      async () => {
        const clients = await ring.clientsOf(node);
        const cameBack = (id: string, old: ReadonlySet<number>) => [...(clients.get(id) ?? [])].some((port) => !old.has(port));
        const absent = [...before].filter(([id, old]) => !cameBack(id, old));
        assert.equal(absent.length, 0, `${absent.length} of ${before.size} clients have no new connection to ${node.address}`);
      },
      { timeoutMs: 60_000, everyMs: 500 },
    );
  };

  it("200 devices of a cluster are whole again after each of three nodes of Cassandra was killed, and started again", async () => {
    for (const [index, node] of ringOf().nodes.entries())
      await stage.trial.survive(() => without(node, OUTAGES_MS[index] ?? assert.fail(), () => node.kill()));
  });

  it("200 devices of a cluster are whole again after each of three nodes of Cassandra was paused, and resumed", async () => {
    for (const [index, node] of ringOf().nodes.entries())
      await stage.trial.survive(() => without(node, OUTAGES_MS[index] ?? assert.fail(), () => node.pause()));
  });
}
