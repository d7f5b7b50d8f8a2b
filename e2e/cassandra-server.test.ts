import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCassandra } from "../common/storage/cassandra/open-cassandra.ts";
import { eventually } from "../common/testing/eventually.ts";
import { freePort } from "../common/testing/free-port.ts";
import { cassandraUrl, freshKeyspace, requireServer, type TestServer } from "../common/testing/servers.ts";
import { dropKeyspace, openOptions } from "../common/testing/test-keyspace.ts";
import { AccessService } from "../gen/nebula/v1/access_pb.ts";
import { ConfigService } from "../gen/nebula/v1/config_pb.ts";
import { Api } from "./harness/api.ts";
import { FaultProxy } from "./harness/fault-proxy.ts";
import { Program } from "./harness/program.ts";
import { SimulatedWorker } from "./harness/simulated-worker.ts";

const SECRETS = { NEBULA_CLUSTER_KEY: "the key of a server on Cassandra", NEBULA_ADMIN_PASSWORD: "a password of the tests" };

describe("nebula server on Cassandra", function () {
  this.timeout(120_000);
  const keyspace = freshKeyspace();
  let cassandra: TestServer;
  let url: string;
  let folder: string;
  const programs: Program[] = [];
  before(async function () {
    cassandra = await requireServer(this, "cassandra");
    url = cassandraUrl(cassandra, keyspace);
    folder = await mkdtemp(join(tmpdir(), "nebula-e2e-cassandra-"));
  });
  afterEach(async function () {
    if (this.currentTest?.state === "failed") for (const { output } of programs) console.log(output.slice(-4000));
    for (const program of programs.splice(0)) await program.kill();
  });
  after(async () => {
    if (url !== undefined) await dropKeyspace(url);
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  function nebula(args: readonly string[], env: Readonly<Record<string, string>> = {}): Program {
    const program = new Program(args, { env: { NEBULA_STORE: url, NEBULA_DATA: join(folder, "data"), NEBULA_CACHE_TIME: "1s", ...SECRETS, ...env } });
    programs.push(program);
    return program;
  }

  async function migrate(args: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Promise<string> {
    const program = nebula(["migrate", ...args], env);
    assert.equal(await program.exit(), 0, program.output);
    return program.output;
  }

  /** Starts a server on ports that stay the same. */
  async function start(grpcPort: number, env: Readonly<Record<string, string>> = {}): Promise<{ program: Program; api: Api }> {
    const httpPort = await freePort();
    const listen = { NEBULA_HTTP_LISTEN: `127.0.0.1:${httpPort}`, NEBULA_GRPC_LISTEN: `127.0.0.1:${grpcPort}`, NEBULA_METRICS_LISTEN: "off" };
    const program = nebula(["server"], { ...listen, ...env });
    await program.printed(/is up\./, 60_000);
    return { program, api: new Api(`127.0.0.1:${grpcPort}`, SECRETS.NEBULA_ADMIN_PASSWORD) };
  }

  /** Writes the row of a revoked enrolment token as an older snapshot has it. */
  async function restoreEnrolment(id: string): Promise<void> {
    await using client = await openCassandra(openOptions(url));
    await client.execute({ cql: "UPDATE enrolment SET state = 'in' WHERE id = ?", params: [id] }, { table: "enrolment", kind: "write" });
  }

  it("a server without a keyspace ends with the command that makes it", async () => {
    const program = nebula(["server"], { NEBULA_HTTP_LISTEN: "127.0.0.1:0", NEBULA_GRPC_LISTEN: "127.0.0.1:0", NEBULA_METRICS_LISTEN: "off" });
    assert.equal(await program.exit(), 1);
    assert.match(program.output, new RegExp(`nebula: NEBULA_STORE: there is no keyspace "${keyspace}": run nebula migrate`));
  });

  it("a server on Cassandra has devices converge, and holds apps, tokens and reports after it was killed; nothing is kept in the data folder", async () => {
    const said = await migrate();
    assert.match(said, /keyspace \w+: made, 1 copy of each row[\s\S]*schema version 0 -> 3/);
    assert.match(said, /nebula: warning: keyspace \w+ keeps 1 of each row/);
    assert.match(await migrate(), /the schema is up to date/);

    const grpcPort = await freePort();
    const first = await start(grpcPort);
    await first.api.createApp({ name: "web", dockerImage: "shop:1" });
    await first.api.createGroup("shop", ["web"]);
    const asAdmin = { headers: first.api.headers, timeoutMs: 10_000 };
    const { token } = await first.api.channel.unary(AccessService.method.createEnrolmentToken, { deviceGroup: "shop", uses: 1 }, asAdmin);
    await using worker = new SimulatedWorker({ server: `grpc://127.0.0.1:${grpcPort}`, deviceId: "device-1", enrollToken: token });
    const applied = (api: Api, revision: bigint) => api.appStatus("device-1", "web", ({ appliedRevision }) => appliedRevision === revision, 90_000);
    await applied(first.api, 1n);
    await first.api.updateApp("web", { dockerImage: "shop:2" });
    await applied(first.api, 2n);
    first.api[Symbol.dispose]();
    await first.program.kill();

    const second = await start(grpcPort);
    assert.equal((await second.api.device("device-1"))?.report?.apps[0]?.revision, 2n, "the device's status is gone");
    const updated = await second.api.updateApp("web", { dockerImage: "shop:3" });
    assert.equal(updated.revision, 3n);
    await applied(second.api, 3n);
    second.api[Symbol.dispose]();
    assert.equal(await second.program.stop(), 0);
    await assert.rejects(rm(join(folder, "data")), { code: "ENOENT" });
    assert.ok(worker.secrets.length > 0);
  });

  it("a server on Cassandra is followed again after `migrate --after-restore`, and its secret values are opened under a new cluster key", async () => {
    const grpcPort = await freePort();
    const first = await start(grpcPort);
    await first.api.createApp({ name: "vault", dockerImage: "shop:1", secretEnvVars: { TOKEN: "hunter2" } });
    await first.api.createGroup("vaults", ["vault"]);
    const configOf = async (api: Api) =>
      (await api.channel.unary(ConfigService.method.getConfig, { deviceGroup: "vaults" }, { headers: api.headers, timeoutMs: 10_000 })).config;
    const before = await configOf(first.api);
    const asAdmin = { headers: first.api.headers, timeoutMs: 10_000 };
    const made = await first.api.channel.unary(AccessService.method.createEnrolmentToken, { deviceGroup: "vaults", uses: 1 }, asAdmin);
    const id = made.enrolmentToken?.id ?? assert.fail();
    await first.api.channel.unary(AccessService.method.revokeEnrolmentToken, { id }, asAdmin);
    await restoreEnrolment(id);

    const restored = await migrate(["--after-restore"]);
    assert.match(restored, /cluster \w{32}: epoch 1 -> \d{10};/);
    assert.match(restored, new RegExp(`\\n {2}nebulactl devices revoke-enrolment ${id} {3}# revoked, 20\\d\\d-.*Z, by admin\\n`));
    assert.match(restored, /\nthe newest change in the audit log of this store is of 20\d\d-/);
    assert.equal(await first.program.exit(), 1, "a server whose cluster changed goes on");
    assert.match(first.program.output, /it was restored or replaced; start this manager again/);
    first.api[Symbol.dispose]();
    const rotated = await eventually(
      async () => {
        const program = nebula(["migrate", "--new-cluster-key"], { NEBULA_NEW_CLUSTER_KEY: "another key of a server on Cassandra" });
        if ((await program.exit()) === 0) return program.output;
        throw new Error(program.output); // the mark of the server that the test before killed counts for 30 s
      },
      { timeoutMs: 60_000, everyMs: 2000 },
    );
    assert.match(rotated, /2 rows of the store/);

    const second = await start(grpcPort, { NEBULA_CLUSTER_KEY: "another key of a server on Cassandra" });
    const after = await configOf(second.api);
    assert.equal(after?.cluster?.id, before?.cluster?.id);
    assert.ok((after?.cluster?.epoch ?? 0n) > (before?.cluster?.epoch ?? 0n));
    assert.deepEqual(
      after?.apps.map(({ name, revision }) => [name, revision]),
      [["vault", 1n]],
    );
    second.api[Symbol.dispose]();
    assert.equal(await second.program.stop(), 0);
  });

  it("a server waits for a Cassandra that is absent at its start, says so at /readyz, and is ready when it answers", async () => {
    const [port, metricsPort] = [await freePort(), await freePort()];
    const env = {
      NEBULA_STORE: cassandraUrl({ address: `127.0.0.1:${port}` }, keyspace),
      NEBULA_HTTP_LISTEN: "127.0.0.1:0",
      NEBULA_GRPC_LISTEN: "127.0.0.1:0",
      NEBULA_METRICS_LISTEN: `127.0.0.1:${metricsPort}`,
      NEBULA_CLUSTER_KEY: "another key of a server on Cassandra",
    };
    const program = nebula(["server"], env);
    const readyz = async () => {
      const answer = await fetch(`http://127.0.0.1:${metricsPort}/readyz`).catch(() => undefined);
      return { status: answer?.status, text: (await answer?.text()) ?? "" };
    };
    await eventually(async () => (await readyz()).text.includes(`no Cassandra node answers at 127.0.0.1:${port}`), { timeoutMs: 30_000 });
    assert.equal((await readyz()).status, 503);
    assert.equal((await fetch(`http://127.0.0.1:${metricsPort}/healthz`)).status, 200);
    await using _ = await FaultProxy.start({ target: cassandra.address, port });
    await program.printed(/is up\./, 60_000);
    await eventually(async () => (await readyz()).status === 200, { timeoutMs: 30_000 });
    assert.match(await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text(), /nebula_store_request_seconds_count\{table="cluster"/);
    assert.equal(await program.stop(), 0);
  });

  it("a server stops at once when its signal is aborted while it waits for Cassandra", async () => {
    const store = cassandraUrl({ address: `127.0.0.1:${await freePort()}` }, keyspace);
    const program = nebula(["server"], { NEBULA_STORE: store, NEBULA_METRICS_LISTEN: "off" });
    await program.printed(/waiting for it/);
    assert.equal(await program.stop(), 0, program.output);
  });
});
