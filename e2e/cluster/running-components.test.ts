import { strict as assert } from "node:assert";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../common/clock/system-clock.ts";
import { openCassandraConfigStore } from "../../common/storage/cassandra/entities/config-store.ts";
import { openCassandra } from "../../common/storage/cassandra/open-cassandra.ts";
import { UNFINISHED_EPOCH } from "../../common/storage/config-store.ts";
import { openSqliteConfigStore } from "../../common/storage/sqlite/config-store.ts";
import { freePort } from "../../common/testing/free-port.ts";
import { cassandraUrl, freshKeyspace, kafkaUrl, requireServers } from "../../common/testing/servers.ts";
import { dropKeyspace, openOptions } from "../../common/testing/test-keyspace.ts";
import { Program } from "../harness/program.ts";

const LISTEN = { NEBULA_HTTP_LISTEN: "127.0.0.1:0", NEBULA_GRPC_LISTEN: "127.0.0.1:0" };

describe("nebula migrate and components that run on Cassandra", function () {
  this.timeout(300_000);
  let folder: string;
  let url: string;
  let env: Readonly<Record<string, string>>;
  beforeEach(async function () {
    const { cassandra, kafka } = await requireServers(this);
    folder = await mkdtemp(join(tmpdir(), "nebula-e2e-running-"));
    url = cassandraUrl(cassandra, freshKeyspace());
    const secrets = { NEBULA_CLUSTER_KEY: `the key of ${url}`, NEBULA_ADMIN_PASSWORD: "a password of the tests" };
    env = { ...secrets, NEBULA_STORE: url, NEBULA_BUS: `${kafkaUrl(kafka)}?partitions=2`, NEBULA_METRICS_LISTEN: "off" };
    const made = await migrate();
    assert.equal(made.code, 0, made.output);
  });
  afterEach(async () => {
    if (url !== undefined) await dropKeyspace(url);
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  async function migrate(...args: string[]): Promise<Readonly<{ code: number | null; output: string }>> {
    await using program = new Program(["migrate", ...args], { env: { ...env, NEBULA_NEW_CLUSTER_KEY: `another key of ${url}` } });
    return { code: await program.exit(), output: program.output };
  }

  it("nothing is moved from a store or to it, and no key rotated, while a manager or a reporter runs on it; all is done when they have stopped", async () => {
    const files = `sqlite:${join(folder, "files")}`;
    const empty = join(folder, "empty");
    await mkdir(empty);
    await (await openSqliteConfigStore({ path: join(empty, "nebula.db") }))[Symbol.asyncDispose]();
    const fromIt = ["--from", url, "--to", files];
    const commands = [fromIt, ["--from", `sqlite:${empty}`, "--to", url], ["--new-cluster-key"]];
    for (const part of ["manager", "reporter"]) {
      await using program = new Program([part], { env: { ...env, ...LISTEN } });
      await program.printed(/is up\./, 60_000);
      for (const args of commands) {
        const { code, output } = await migrate(...args);
        assert.equal(code, 1, `${part}, ${args.join(" ")}: ${output}`);
        assert.match(output, new RegExp(`components run on this store \\(${part} on [^,]+ \\(process ${program.child.pid}\\)\\): stop each of them`));
      }
      assert.equal(await program.stop(), 0, program.output);
    }
    const moved = await migrate(...fromIt);
    assert.equal(moved.code, 0, moved.output);
    assert.match(moved.output, /every record is the same in both stores/);
    const rotated = await migrate("--new-cluster-key");
    assert.equal(rotated.code, 0, rotated.output);
    assert.match(rotated.output, /cluster key with the id \w{8} -> \w{8}/);
  });

  it("no component starts on a store to which a move did not end, a reporter no more than a manager, whether Kafka answers or not", async () => {
    {
      await using client = await openCassandra(openOptions(url));
      const store = await openCassandraConfigStore({ client, clock: systemClock });
      await store.becomeCluster({ id: store.cluster.id, epoch: UNFINISHED_EPOCH });
    }
    const absent = `kafka://127.0.0.1:${await freePort()}/nebula-reports`;
    for (const [part, bus] of [
      ["manager", env.NEBULA_BUS],
      ["reporter", env.NEBULA_BUS],
      ["reporter", absent],
      ["server", env.NEBULA_BUS],
    ] as const) {
      await using program = new Program([part], { env: { ...env, ...LISTEN, NEBULA_BUS: bus ?? assert.fail() } });
      assert.equal(await program.exit(), 1, program.output);
      assert.match(program.output, /this store holds only a part of cluster \w{32}: a move to it did not end; run nebula migrate --from --to again/);
    }
  });
});
