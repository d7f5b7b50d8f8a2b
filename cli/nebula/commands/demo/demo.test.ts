import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exampleFile } from "./demo.ts";

describe("exampleFile", () => {
  it("the example file is found from the source", () => {
    assert.match(readFileSync(exampleFile("demo.yaml"), "utf8"), /kind: /);
  });

  it("the example file is found in the nearest folder above, and missed by name", async () => {
    const root = await mkdtemp(join(tmpdir(), "nebula-example-"));
    try {
      await mkdir(join(root, "a", "b"), { recursive: true });
      await mkdir(join(root, "examples"));
      await writeFile(join(root, "examples", "x.yaml"), "");
      assert.equal(exampleFile("x.yaml", join(root, "a", "b")), join(root, "examples", "x.yaml"));
      assert.throws(() => exampleFile("no-such-example.yaml", join(root, "a")), /examples\/no-such-example.yaml not found in any folder above/);
    } finally {
      await rm(root, { recursive: true });
    }
  });
});
