import { strict as assert } from "node:assert";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cassandraUrl, freshKeyspace, redisUrl, requireServer } from "../../common/testing/servers.ts";
import { dropKeyspace } from "../../common/testing/test-keyspace.ts";
import { Program } from "../harness/program.ts";

describe("nebula migrate while shards run on Cassandra and Redis", function () {
  this.timeout(300_000);
  let folder: string;
  let url: string | undefined;
  let env: Readonly<Record<string, string>>;
  before(async function () {
    const [cassandra, redis] = [await requireServer(this, "cassandra"), await requireServer(this, "redis")];
    folder = await mkdtemp(join(tmpdir(), "nebula-e2e-shards-"));
    url = cassandraUrl(cassandra, freshKeyspace());
    const secrets = { NEBULA_CLUSTER_KEY: `the key of ${url}`, NEBULA_ADMIN_PASSWORD: "a password of the tests" };
    env = { ...secrets, NEBULA_STORE: url, NEBULA_REDIS: redisUrl(redis), NEBULA_METRICS_LISTEN: "off" };
  });
  after(async () => {
    if (url !== undefined) await dropKeyspace(url);
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  async function migrate(...args: string[]): Promise<Readonly<{ code: number | null; output: string }>> {
    await using program = new Program(["migrate", ...args], { env: { ...env, NEBULA_NEW_CLUSTER_KEY: `another key of ${url}` } });
    return { code: await program.exit(), output: program.output };
  }

  it("nothing is moved and no key rotated while a shard renews its lease, and both are done when it has stopped", async () => {
    const made = await migrate();
    assert.equal(made.code, 0, made.output);
    const listen = { NEBULA_HTTP_LISTEN: "127.0.0.1:0", NEBULA_GRPC_LISTEN: "127.0.0.1:0", NEBULA_SHARD: "shard-one" };
    await using server = new Program(["server"], { env: { ...env, ...listen } });
    await server.printed(/is up\./, 60_000);
    const target = join(folder, "target");
    const move = ["--from", url ?? assert.fail(), "--to", `sqlite:${target}`];
    for (const args of [move, ["--new-cluster-key"]]) {
      const { code, output } = await migrate(...args);
      assert.equal(code, 1, output);
      assert.match(output, /shards run on this cluster \(shard-one\): stop every manager/);
    }
    assert.ok(!existsSync(join(target, "nebula.db")), "the target was made");
    assert.equal(await server.stop(), 0, server.output);
    const moved = await migrate(...move);
    assert.equal(moved.code, 0, moved.output);
    assert.match(moved.output, /every record is the same in both stores/);
    const rotated = await migrate("--new-cluster-key");
    assert.equal(rotated.code, 0, rotated.output);
    assert.match(rotated.output, /cluster key with the id \w{8} -> \w{8}/);
  });
});
