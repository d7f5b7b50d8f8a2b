import { strict as assert } from "node:assert";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const DOCUMENTS = ["README.md", "CONTRIBUTING.md", ...readdirSync(`${ROOT}docs`).map((name) => `docs/${name}`)];
/** `common/feed/`, `worker/plan.ts`: what looks like a path of the repository, in backticks or in a command. */
const PATH = /(?<![\w/.-])(?:common|manager|worker|reporter|gateway|cli|loadtest|e2e|proto|gen|docs|examples|third_party)\/[\w./-]*\w(?:\/|\b)/g;

describe("the documents", () => {
  for (const document of DOCUMENTS) {
    it(`name what is there: ${document}`, () => {
      const text = readFileSync(`${ROOT}${document}`, "utf8");
      const missing = [...text.matchAll(PATH)].map(([path]) => path).filter((path) => !existsSync(`${ROOT}${path}`));
      assert.deepEqual(missing, []);
    });
  }
});
