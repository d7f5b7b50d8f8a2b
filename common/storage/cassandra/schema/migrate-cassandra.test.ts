import { strict as assert } from "node:assert";
import { createServer, type Server } from "node:net";
import { ManualClock } from "../../../clock/manual-clock.ts";
import { systemClock } from "../../../clock/system-clock.ts";
import { isNebulaError } from "../../../errors/nebula-error.ts";
import { eventually } from "../../../testing/eventually.ts";
import { freePort } from "../../../testing/free-port.ts";
import { cassandraUrl, freshKeyspace, requireServer, type TestServer } from "../../../testing/servers.ts";
import { dropKeyspace, openOptions } from "../../../testing/test-keyspace.ts";
import type { CassandraClient } from "../connection/client.ts";
import { connectCassandra } from "../connection/connect-cassandra.ts";
import { openCassandra } from "../open-cassandra.ts";
import { assertVersions, migrateCassandra, warnOfPaxos } from "./migrate-cassandra.ts";
import { takeMigrationLock } from "./migration-lock.ts";
import { MIGRATIONS, SCHEMA_VERSION, TABLES } from "./schema.ts";
import { SCHEMA_PART, schemaVersion } from "./schema-version.ts";

const refusedWith = (pattern: RegExp) => (error: unknown) => isNebulaError(error, "failed_precondition") && pattern.test(error.message);

describe("the schema on Cassandra", function () {
  this.timeout(120_000);
  const name = freshKeyspace();
  let server: TestServer;
  let url: string;
  before(async function () {
    server = await requireServer(this, "cassandra");
    url = cassandraUrl(server, name);
  });
  after(async () => {
    if (url !== undefined) await dropKeyspace(url);
  });

  /** Migrates; resolves with the lines and warnings of the migration. */
  async function migrated(): Promise<{ lines: string[]; warnings: string[] }> {
    const [lines, warnings]: [string[], string[]] = [[], []];
    await migrateCassandra(openOptions(url), { print: (line) => lines.push(line), warn: (line) => warnings.push(line) });
    return { lines, warnings };
  }

  async function setVersion(client: CassandraClient, version: number): Promise<void> {
    const cql = "UPDATE schema_state SET version = ? WHERE part = ? IF EXISTS";
    assert.equal((await client.conditional("schema_state", [{ cql, params: [version, SCHEMA_PART] }])).kind, "applied");
  }

  it("components refuse to start while there is no keyspace, and name the command that makes it", async () => {
    await assert.rejects(openCassandra(openOptions(url)), refusedWith(new RegExp(`no keyspace "${name}": run nebula migrate`)));
    await assert.rejects(
      openCassandra(openOptions(`${url}&dc=elsewhere`)),
      (error) => isNebulaError(error, "invalid_argument") && /datacenter1/.test(error.message),
    );
  });

  it("the schema is made by one of two migrations at a time, and the other finds it", async () => {
    await using other = await (async () => {
      // a keyspace without tables, as a migration leaves it that was cut
      await using client = await connectCassandra(openOptions(url), { withoutKeyspace: true });
      await client.define(`CREATE KEYSPACE ${name} WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 1}`);
      return connectCassandra(openOptions(url));
    })();
    assert.equal(await schemaVersion(other), 0);
    await assert.rejects(openCassandra(openOptions(url)), refusedWith(/no tables of Nebula: run nebula migrate/));
    await other.define("CREATE TABLE schema_state (part text, version int, locked_by text, lock_beat int, PRIMARY KEY ((part)))");
    const [one, two] = await Promise.all([migrated(), migrated()]);
    const lines = [...one.lines, ...two.lines];
    assert.equal(lines.filter((line) => line.includes(`schema version 0 -> ${SCHEMA_VERSION}`)).length, 1, lines.join("\n"));
    assert.equal(lines.filter((line) => line.includes("is up to date")).length, 1, lines.join("\n"));
    assert.match([...one.warnings, ...two.warnings].join("\n"), /keeps 1 of each row in datacenter1/);
    const { rows } = await other.execute(
      { cql: "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?", params: [name] },
      { table: "system_schema.tables", kind: "read" },
    );
    assert.deepEqual(rows.map((row) => row.table_name).sort(), TABLES.map((table) => table.name).sort());
    assert.equal(await schemaVersion(other), MIGRATIONS.length);
  });

  it("the schema serves components of its version and the one before, and no others", async () => {
    await using client = await openCassandra(openOptions(url));
    for (const [version, refused] of [
      [SCHEMA_VERSION + 1, undefined],
      [SCHEMA_VERSION + 2, /start a newer Nebula/],
      [SCHEMA_VERSION - 1, /run nebula migrate/],
      [SCHEMA_VERSION, undefined],
    ] as const) {
      await setVersion(client, version);
      const opening = openCassandra(openOptions(url));
      if (refused !== undefined) await assert.rejects(opening, refusedWith(refused));
      else await (await opening)[Symbol.asyncDispose]();
    }
    await setVersion(client, SCHEMA_VERSION + 1);
    await assert.rejects(migrated(), refusedWith(/run a newer Nebula/));
    await setVersion(client, SCHEMA_VERSION);
  });

  it("the schema is changed under a lock that is taken over after a minute of silence, and the silent migration stops", async () => {
    await using client = await openCassandra(openOptions(url));
    const { signal } = new AbortController();
    const stopped = new ManualClock(); // its holder is paused: no beat
    await using silent = await takeMigrationLock(client, { clock: stopped, waits: () => assert.fail("it is free"), signal });
    await silent.assertHeld();
    const clock = new ManualClock();
    let waits = 0;
    let taken = false;
    const taking = takeMigrationLock(client, { clock, waits: () => waits++, signal }).then((lock) => {
      taken = true;
      return lock;
    });
    await eventually(() => waits === 1);
    for (let seconds = 0; seconds < 58; seconds++) await clock.advance(1000);
    assert.equal(taken, false);
    await silent.assertHeld(); // it beats once more
    await eventually(async () => {
      await clock.advance(1000);
      return taken;
    });
    await using lock = await taking;
    assert.ok(clock.monotonic() >= 60_000, `${clock.monotonic()} ms`);
    await lock.assertHeld();
    await assert.rejects(silent.assertHeld(), refusedWith(/took the lock over/));
    await assert.rejects(silent.setVersion(SCHEMA_VERSION), refusedWith(/took the lock over/));
  });

  it("a migration shows the error that ended it, where the lock cannot be released either", async () => {
    const client = await openCassandra(openOptions(url));
    const migrating = async () => {
      await using _lock = await takeMigrationLock(client, { clock: systemClock, waits: () => {}, signal: new AbortController().signal });
      await client[Symbol.asyncDispose](); // no statement is possible from here on
      throw new Error("the store broke");
    };
    await assert.rejects(migrating(), /^Error: the store broke$/);
    await using other = await openCassandra(openOptions(url));
    await other.conditional("schema_state", [{ cql: "UPDATE schema_state SET locked_by = null WHERE part = ? IF EXISTS", params: [SCHEMA_PART] }]);
  });

  it("a migration needs Cassandra 4.1 on every node, and warns of another paxos_variant than v2", async () => {
    const nodes = (...versions: string[]) => ({ nodes: () => versions.map((version) => ({ address: "a:1", version, dataCenter: "dc", up: true })) });
    assertVersions(nodes("4.1.0", "5.0.6", "10.0"));
    assert.throws(() => assertVersions(nodes("5.0.6", "4.0.11")), refusedWith(/Cassandra 4\.0\.11: Nebula needs 4\.1/));
    const warnings: string[] = [];
    const say = { print: () => {}, warn: (line: string) => warnings.push(line) };
    const settings = ["v2", "v1", undefined].map((value, index) => ({ address: `node-${index}`, value }));
    await warnOfPaxos({ settingOfNodes: async () => settings }, say);
    assert.deepEqual(
      warnings.map((line) => line.split(":")[0]),
      ["the node node-1 has paxos_variant v1", "the node node-2 has paxos_variant unset"],
    );
  });

  it("a migration waits while no node answers, logs which, and ends when the start is stopped", async () => {
    const port = await freePort();
    const stop = new AbortController();
    const waitingFor = new Set<string>();
    const opening = openCassandra(openOptions(`cassandra://127.0.0.1:${port}/${name}`, { signal: stop.signal, waitingFor }));
    opening.catch(() => {});
    await eventually(() => waitingFor.size === 1);
    assert.match([...waitingFor].join(), new RegExp(`^NEBULA_STORE: no Cassandra node answers at 127.0.0.1:${port}$`));
    stop.abort(new Error("stopped"));
    await assert.rejects(opening, /stopped/);
    assert.equal(waitingFor.size, 0);
  });

  it("a login that is refused does not open the schema, and the password is not shown", async () => {
    await using stack = new AsyncDisposableStack();
    const refusing = stack.adopt(await refusingServer(), (listener) => void listener.close());
    const address = refusing.address();
    assert.ok(typeof address === "object" && address !== null);
    const at = `cassandra://127.0.0.1:${address.port}/${name}`;
    const withUser = openCassandra(openOptions(`${at}?user=nebula`, { password: "hunter2" }));
    await assert.rejects(
      withUser,
      (error) => refusedWith(/refuses the login of user "nebula": .*NEBULA_STORE_PASSWORD/)(error) && !String(error).includes("hunter2"),
    );
    await assert.rejects(openCassandra(openOptions(at, { clock: systemClock })), refusedWith(/asks for a login: .*\?user=/));
  });
});

/** A server that speaks as much of the native protocol as it takes to refuse every login: it asks for one, and answers ERROR 0x0100 (bad credentials). */
function refusingServer(): Promise<Server> {
  const [ERROR, AUTHENTICATE, OPTIONS, SUPPORTED, STARTUP] = [0x00, 0x03, 0x05, 0x06, 0x01];
  const string = (value: string) => Buffer.concat([Buffer.from([0, value.length]), Buffer.from(value)]);
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (request: Buffer) => {
      // one frame a packet: version, flags, stream (2 bytes), opcode, length
      const answer = (opcode: number, body: Buffer) => {
        const header = Buffer.from([(request[0] ?? 4) | 0x80, 0, request[2] ?? 0, request[3] ?? 0, opcode, 0, 0, 0, body.length]);
        socket.write(Buffer.concat([header, body]));
      };
      if (request[4] === OPTIONS) answer(SUPPORTED, Buffer.from([0, 0]));
      else if (request[4] === STARTUP) answer(AUTHENTICATE, string("org.apache.cassandra.auth.PasswordAuthenticator"));
      else answer(ERROR, Buffer.concat([Buffer.from([0, 0, 1, 0]), string("Provided username and/or password are incorrect")]));
    });
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}
