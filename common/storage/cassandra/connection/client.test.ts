import { strict as assert } from "node:assert";
import { Client, errors, type Host, type QueryOptions } from "cassandra-driver";
import { Registry } from "prom-client";
import { systemClock } from "../../../clock/system-clock.ts";
import { isNebulaError } from "../../../errors/nebula-error.ts";
import { eventually } from "../../../testing/eventually.ts";
import { requireServer } from "../../../testing/servers.ts";
import { createTestKeyspace, openOptions, type TestKeyspace } from "../../../testing/test-keyspace.ts";
import { openCassandra } from "../open-cassandra.ts";
import { parseCassandraUrl } from "./cassandra-url.ts";
import { BULK, CassandraClient } from "./client.ts";
import { createStoreMetrics } from "./store-metrics.ts";

describe("the client of Cassandra", () => {
  let keyspace: TestKeyspace;
  before(async function () {
    keyspace = await createTestKeyspace(await requireServer(this, "cassandra"));
  });
  after(async () => await keyspace?.[Symbol.asyncDispose]());

  const putName = "INSERT INTO entity_name (kind, name) VALUES (?, ?) USING TIMESTAMP ?";
  const dropName = "DELETE FROM entity_name USING TIMESTAMP ? WHERE kind = ? AND name = ?";
  const selectNames = "SELECT name FROM entity_name WHERE kind = ?";
  const inNames = { table: "entity_name", kind: "write" } as const;
  const names = async (kind: string) => {
    const { rows } = await keyspace.client.execute({ cql: selectNames, params: [kind] }, { table: "entity_name", kind: "read" });
    return rows.map(({ name }) => name);
  };

  it("the client of Cassandra keeps the newer of two writes by their timestamps, in any order", async () => {
    const { client } = keyspace;
    await client.execute({ cql: putName, params: ["order", "a", 5n] }, inNames);
    await client.execute({ cql: dropName, params: [4n, "order", "a"] }, inNames);
    assert.deepEqual(await names("order"), ["a"]);
    await client.execute({ cql: dropName, params: [5n, "order", "a"] }, inNames);
    assert.deepEqual(await names("order"), []);
  });

  it("the client of Cassandra reads page by page, with the number of rows that is asked for", async () => {
    const { client } = keyspace;
    await client.executeMany(
      putName,
      Array.from({ length: 25 }, (_, i) => ["pages", `n-${String(i).padStart(2, "0")}`, 1n]),
      inNames,
    );
    const query = { cql: selectNames, params: ["pages"] };
    const found: unknown[] = [];
    let pages = 0;
    for (let pageState: string | undefined; ; pages++) {
      const page = await client.execute(query, { table: "entity_name", kind: "read", fetchSize: 10, pageState });
      assert.ok(page.rows.length <= 10);
      found.push(...page.rows.map(({ name }) => name));
      pageState = page.next;
      if (pageState === undefined) break;
    }
    assert.equal(pages, 2);
    assert.deepEqual(
      found,
      Array.from({ length: 25 }, (_, i) => `n-${String(i).padStart(2, "0")}`),
    );
  });

  it("the client of Cassandra answers many reads in their order, at most 64 in flight", async () => {
    const { client } = keyspace;
    const values = Array.from({ length: 500 }, (_, i) => [`many-${i}`, "x", 1n]);
    await client.executeMany(putName, values, inNames);
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, client.inFlight);
    }, 0);
    const answers = await client.executeMany(
      selectNames,
      Array.from({ length: 500 }, (_, i) => [i % 2 === 0 ? `many-${i}` : "none"]),
      { table: "entity_name", kind: "read" },
    );
    clearInterval(watch);
    assert.deepEqual(
      answers.map((rows) => rows.length),
      Array.from({ length: 500 }, (_, i) => (i % 2 === 0 ? 1 : 0)),
    );
    assert.ok(most >= 2 && most <= BULK, `${most} in flight`);
  });

  it("the client of Cassandra rejects with the signal's reason at once, and frees its place", async () => {
    const { client } = keyspace;
    const gone = new AbortController();
    const reading = client.execute({ cql: selectNames, params: ["order"] }, { table: "entity_name", kind: "read", signal: gone.signal });
    gone.abort(new Error("gone"));
    await assert.rejects(reading, /gone/);
    assert.deepEqual(await names("order"), []);
    await eventually(() => assert.equal(client.inFlight, 0)); // the place is free once Cassandra has answered
  });

  it("the client of Cassandra passes an error of the program on unchanged", async () => {
    const { client } = keyspace;
    await assert.rejects(
      client.execute({ cql: "SELECT nothing FROM entity_name", params: [] }, { table: "entity_name", kind: "read" }),
      (error) => !isNebulaError(error),
    );
    await assert.rejects(
      client.execute({ cql: selectNames, params: [{}] }, { table: "entity_name", kind: "read" }),
      (error) => !isNebulaError(error),
    );
    await assert.rejects(client.conditional("entity", [{ cql: "UPDATE nothing SET a = 1 IF a = 2", params: [] }]), (error) => !isNebulaError(error));
  });

  it("the client of Cassandra answers a refused conditional batch with the stored rows", async () => {
    const { client } = keyspace;
    const put = (head: bigint, expected: bigint | null) => [
      { cql: "UPDATE entity SET head = ? WHERE kind = ? AND name = ? IF head = ?", params: [head, "app", "conditional", expected] },
      { cql: "INSERT INTO entity (kind, name, revision, writer) VALUES (?, ?, ?, ?)", params: ["app", "conditional", head, "me"] },
    ];
    assert.deepEqual(await client.conditional("entity", put(1n, null)), { kind: "applied" });
    const refused = await client.conditional("entity", put(2n, null));
    assert.ok(refused.kind === "refused");
    assert.deepEqual([refused.row.head, refused.repeated], [1n, false]);
  });

  it("the client of Cassandra closes within its limit where the driver waits without an end", async () => {
    const client = await openCassandra(openOptions(keyspace.url));
    const { shutdown } = Client.prototype;
    Object.assign(Client.prototype, { shutdown: () => new Promise(() => {}) });
    try {
      await client[Symbol.asyncDispose]();
    } finally {
      Object.assign(Client.prototype, { shutdown });
      await client[Symbol.asyncDispose]();
    }
  });

  describe("serial reads", () => {
    const { execute } = Client.prototype;
    afterEach(() => {
      Object.assign(Client.prototype, { execute });
    });
    const node = (address: string, isUp = true) => ({ address, datacenter: "", isUp: () => isUp });
    const failureOf = (coordinator: string) => Object.assign(new errors.OperationTimedOutError("no answer", coordinator), { coordinator });

    /** Reads serially by way of a driver that knows these nodes and asks one after the other; answers which ones it was made to ask. */
    async function asked(nodes: readonly ReturnType<typeof node>[], answer: (call: number) => Error | object): Promise<(string | undefined)[]> {
      const hosts: (string | undefined)[] = [];
      Object.assign(Client.prototype, {
        async execute(this: Client, _query: string, _params: unknown[], options: QueryOptions & { host?: Host }) {
          Object.assign(this, { hosts: { values: () => nodes } });
          const given = answer(hosts.push(options.host?.address));
          if (given instanceof Error) throw given;
          return given;
        },
      });
      const target = parseCassandraUrl("NEBULA_STORE", "cassandra://127.0.0.1/nebula");
      const metrics = createStoreMetrics(new Registry());
      const client = new CassandraClient({ target, password: undefined, ca: undefined, clock: systemClock, metrics });
      await client.execute({ cql: selectNames, params: ["serial"] }, { table: "entity_name", kind: "serial_read" }).catch((error) => {
        assert.ok(isNebulaError(error, "unavailable"), String(error));
        hosts.push("rejected");
      });
      return hosts;
    }

    it("a serial read without an answer is sent once more, to another node that is up", async () => {
      const nodes = [node("a"), node("down", false), node("b")];
      assert.deepEqual(await asked(nodes, (call) => (call === 1 ? failureOf("a") : { rows: [] })), [undefined, "b"]);
      assert.deepEqual(await asked(nodes, () => failureOf("a")), [undefined, "b", "rejected"]);
    });

    it("a serial read is not sent again where no other node is up, or where no node was asked", async () => {
      assert.deepEqual(await asked([node("a"), node("down", false)], () => failureOf("a")), [undefined, "rejected"]);
      assert.deepEqual(await asked([node("a"), node("b")], () => new errors.NoHostAvailableError({})), [undefined, "rejected"]);
    });
  });

  it("the client of Cassandra counts requests by table, kind, consistency and result", async () => {
    const text = await keyspace.registry.metrics();
    assert.match(text, /nebula_store_request_seconds_count\{table="entity_name",kind="read",consistency="LOCAL_QUORUM",result="ok"\} [1-9]/);
    assert.match(text, /nebula_store_request_seconds_count\{table="entity",kind="conditional",consistency="LOCAL_SERIAL",result="ok"\} [1-9]/);
    assert.match(text, /nebula_store_conflicts_total\{table="entity"\} 1/);
  });
});
