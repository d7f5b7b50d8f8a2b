import { strict as assert } from "node:assert";
import { existsSync } from "node:fs";
import { mkdtemp, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { extractTree, RELEASE_BEFORE_SHARDS } from "./earlier-tree.ts";

describe("the tree of an earlier commit", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "nebula-tree-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it("the tree of an earlier commit has the worker of that commit, without later files, and this tree's packages", async () => {
    const tree = await extractTree(RELEASE_BEFORE_SHARDS, join(folder, "tree"));
    assert.ok(existsSync(join(tree, "worker/main.ts")));
    assert.ok(!existsSync(join(tree, "common/storage/cassandra")), "the release before shards had no Cassandra");
    assert.ok(existsSync(join(await readlink(join(tree, "node_modules")), "@grpc/grpc-js")));
  });

  it("the tree of a commit that the clone lacks is refused, with the command that helps", async () => {
    const commit = "0123456789012345678901234567890123456789";
    await assert.rejects(
      extractTree(commit, join(folder, "tree")),
      /commit "0123456789.*" is not in this clone: a shallow one lacks it; use git fetch --unshallow/,
    );
  });
});
