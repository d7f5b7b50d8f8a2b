import { strict as assert } from "node:assert";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isNebulaError } from "../errors/nebula-error.ts";
import { clusterKeyRotation } from "./rotate-cluster-key.ts";

const OLD = "the old cluster key";
const NEW = "the new cluster key";

describe("a change of the cluster key", () => {
  let dataDir: string;
  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), "nebula-turn-"));
  });
  afterEach(() => rm(dataDir, { recursive: true, force: true }));

  const turnOf = (clusterKey?: string, newClusterKey?: string) => clusterKeyRotation({ clusterKey, newClusterKey, dataDir });
  const text = async (name: string) => (await readFile(join(dataDir, name), "utf8")).trim();
  const keep = (name: string, key: string) => writeFile(join(dataDir, name), `${key}\n`, { mode: 0o600 });

  it("a rotation of the cluster key makes a key beside the old one when it begins, and puts it in its place at the end", async () => {
    await keep("cluster-key", OLD);
    const turn = await turnOf();
    assert.deepEqual([turn.from, turn.to, await readdir(dataDir)], [OLD, undefined, ["cluster-key"]]);
    const to = await turn.begin();
    assert.deepEqual([to, await text("cluster-key")], [await text("cluster-key.new"), OLD]);
    assert.ok(to.length >= 32 && to !== OLD);
    assert.equal((await stat(join(dataDir, "cluster-key.new"))).mode & 0o777, 0o600);
    await turn.finish();
    assert.equal(await text("cluster-key"), to);
    assert.deepEqual(await readdir(dataDir), ["cluster-key"]);
  });

  it("a rotation of the cluster key resumes with the key that it had made when it was killed", async () => {
    await keep("cluster-key", OLD);
    const made = await (await turnOf()).begin();
    const again = await turnOf();
    assert.deepEqual([again.from, again.to, await again.begin()], [OLD, made, made]);
    for (const given of [NEW, OLD]) {
      await assert.rejects(turnOf(undefined, given), (error) => isNebulaError(error, "failed_precondition") && !error.message.includes(made));
    }
  });

  it("a rotation of the cluster key takes a key that is given, and knows when the key was changed to that before", async () => {
    await keep("cluster-key", OLD);
    const turn = await turnOf(undefined, NEW);
    assert.deepEqual([turn.to, await turn.begin()], [NEW, NEW]);
    await turn.finish();
    assert.equal(await text("cluster-key"), NEW);
    const again = await turnOf(undefined, NEW);
    await again.begin();
    await again.finish();
    assert.deepEqual([again.from, again.to, await readdir(dataDir)], [NEW, NEW, ["cluster-key"]]);
  });

  it("a rotation of the cluster key keeps nothing where both keys are given, and needs the new one then", async () => {
    const { from, begin, file, finish } = await turnOf(OLD, NEW);
    assert.deepEqual([from, await begin(), file], [OLD, NEW, undefined]);
    await finish();
    assert.deepEqual(await readdir(dataDir), []);
    await assert.rejects(
      turnOf(OLD),
      (error) => isNebulaError(error, "failed_precondition") && /NEBULA_NEW_CLUSTER_KEY is needed/.test(error.message),
    );
  });

  it("a rotation of the cluster key needs an old key", async () => {
    await assert.rejects(turnOf(), (error) => isNebulaError(error, "not_found"));
    await keep("cluster-key", "");
    await assert.rejects(turnOf(), (error) => isNebulaError(error, "failed_precondition"));
    assert.deepEqual(await readdir(dataDir), ["cluster-key"]);
  });
});
