import { strict as assert } from "node:assert";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readResourceFiles } from "./read-resource-files.ts";

describe("readResourceFiles", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "nebulactl-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const read = (...paths: string[]) => readResourceFiles(paths, async () => "kind: app\n");

  it("readResourceFiles reads files, folders in the order of their names, and standard input", async () => {
    await writeFile(join(folder, "b.yml"), "b");
    await writeFile(join(folder, "a.yaml"), "a");
    await writeFile(join(folder, "notes.txt"), "x");
    await mkdir(join(folder, "inner"));
    const expected = [
      { name: join(folder, "a.yaml"), text: "a" },
      { name: join(folder, "b.yml"), text: "b" },
    ];
    assert.deepEqual(await read(folder), expected);
    assert.deepEqual(await read("-", join(folder, "b.yml")), [{ name: "standard input", text: "kind: app\n" }, expected[1]]);
  });

  it("readResourceFiles reads the JSON list that `get` prints", async () => {
    await writeFile(join(folder, "all.json"), '[\n{"kind":"app","name":"a"},\n{"kind":"app","name":"b"}\n]\n');
    assert.deepEqual(
      (await read(folder)).map(({ text }) => text),
      ['{"kind":"app","name":"a"}\n---\n{"kind":"app","name":"b"}\n'],
    );
  });

  it("readResourceFiles names a path that it cannot read", async () => {
    await assert.rejects(read(join(folder, "none.yaml")), /-f .*none\.yaml can't be read: it does not exist/);
    await assert.rejects(read(folder), /is a folder without \.yaml, \.yml, \.json files/);
  });
});
