import { strict as assert } from "node:assert";
import { readdirSync, readFileSync } from "node:fs";
import { parseResources, resourceViolationLine } from "./parse-resources.ts";

const FOLDER = new URL("../../examples/", import.meta.url);

describe("the example files", () => {
  const kinds = new Set<string>();

  for (const name of readdirSync(FOLDER)) {
    it(`the example file ${name} is valid`, () => {
      const parsed = parseResources(readFileSync(new URL(name, FOLDER), "utf8"), name);
      assert.deepEqual(parsed.kind === "invalid" ? parsed.violations.map(resourceViolationLine) : [], []);
      if (parsed.kind === "resources") for (const { kind } of parsed.resources) kinds.add(kind);
    });
  }

  it("the example files show every kind", () => {
    assert.deepEqual([...kinds].toSorted(), ["app", "cron_job", "device_group", "user_group"]);
  });
});
