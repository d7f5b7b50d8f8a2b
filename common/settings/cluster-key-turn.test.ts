import { strict as assert } from "node:assert";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isNebulaError } from "../errors/nebula-error.ts";
import { beginClusterKeyTurn } from "./cluster-key-turn.ts";

const OLD = "the old cluster key";
const NEW = "the new cluster key";

describe("a change of the cluster key", () => {
  let dataDir: string;
  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), "nebula-turn-"));
  });
  afterEach(() => rm(dataDir, { recursive: true, force: true }));

  const begin = (clusterKey?: string, newClusterKey?: string) => beginClusterKeyTurn({ clusterKey, newClusterKey, dataDir });
  const text = async (name: string) => (await readFile(join(dataDir, name), "utf8")).trim();
  const keep = (name: string, key: string) => writeFile(join(dataDir, name), `${key}\n`, { mode: 0o600 });

  it("makes a key beside the old one, and puts it in its place at the end", async () => {
    await keep("cluster-key", OLD);
    const { from, to, finish } = await begin();
    assert.deepEqual([from, to, await text("cluster-key")], [OLD, await text("cluster-key.new"), OLD]);
    assert.ok(to.length >= 32 && to !== OLD);
    assert.equal((await stat(join(dataDir, "cluster-key.new"))).mode & 0o777, 0o600);
    await finish();
    assert.equal(await text("cluster-key"), to);
    assert.deepEqual(await readdir(dataDir), ["cluster-key"]);
  });

  it("goes on with the key that it had made when it was killed", async () => {
    await keep("cluster-key", OLD);
    const killed = await begin();
    const again = await begin();
    assert.deepEqual([again.from, again.to], [killed.from, killed.to]);
    await assert.rejects(begin(undefined, NEW), (error) => isNebulaError(error, "failed_precondition") && !error.message.includes(killed.to));
  });

  it("takes a key that is given, and knows when it was changed to that before", async () => {
    await keep("cluster-key", OLD);
    await (await begin(undefined, NEW)).finish();
    assert.equal(await text("cluster-key"), NEW);
    const again = await begin(undefined, NEW);
    await again.finish();
    assert.deepEqual([again.from, again.to, await readdir(dataDir)], [NEW, NEW, ["cluster-key"]]);
  });

  it("keeps nothing where both keys are given, and needs the new one there", async () => {
    const { from, to, file, finish } = await begin(OLD, NEW);
    await finish();
    assert.deepEqual([from, to, file, await readdir(dataDir)], [OLD, NEW, undefined, []]);
    await assert.rejects(
      begin(OLD),
      (error) => isNebulaError(error, "failed_precondition") && /NEBULA_NEW_CLUSTER_KEY is needed/.test(error.message),
    );
  });

  it("needs an old key", async () => {
    await assert.rejects(begin(), (error) => isNebulaError(error, "not_found"));
    await keep("cluster-key", "");
    await assert.rejects(begin(), (error) => isNebulaError(error, "failed_precondition"));
    assert.deepEqual(await readdir(dataDir), ["cluster-key"]);
  });
});
