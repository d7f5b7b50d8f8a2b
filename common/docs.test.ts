import { strict as assert } from "node:assert";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const DOCUMENTS = ["README.md", "CONTRIBUTING.md", ...markdownIn("docs")];

function markdownIn(folder: string): string[] {
  const names = readdirSync(`${ROOT}${folder}`, { recursive: true, encoding: "utf8" });
  return names.filter((name) => name.endsWith(".md")).map((name) => `${folder}/${name}`);
}

/** `common/feed/`, `worker/plan/plan.ts`: what looks like a path of the repository, in backticks or in a command. */
const PATH =
  /(?<![\w/.-])(?:common|manager|worker|reporter|gateway|cli|loadtest|e2e|deploy|proto|gen|docs|examples|third_party)\/[\w./-]*\w(?:\/|\b)/g;
/** `[text](devices.md)`, `[text](../proto/nebula/v1)`: the path of a link that stays within the repository. */
const LINK = /\]\((?![a-z]+:)([^)#\s]+)(?:#[^)]*)?\)/g;

describe("the documents", () => {
  for (const document of DOCUMENTS) {
    it(`paths in ${document} exist`, () => {
      const text = readFileSync(`${ROOT}${document}`, "utf8");
      const missing = [...text.matchAll(PATH)].map(([path]) => path).filter((path) => !existsSync(`${ROOT}${path}`));
      assert.deepEqual(missing, []);
    });

    it(`links in ${document} lead to files that exist`, () => {
      const links = [...readFileSync(`${ROOT}${document}`, "utf8").matchAll(LINK)].map(([, path = ""]) => join(dirname(document), path));
      assert.deepEqual(
        links.filter((path) => !existsSync(`${ROOT}${path}`)),
        [],
      );
    });
  }
});
