import { strict as assert } from "node:assert";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const DOCUMENTS = ["README.md", "CONTRIBUTING.md", ...readdirSync(`${ROOT}docs`).map((name) => `docs/${name}`)];
/** `common/feed/`, `worker/plan.ts`: what looks like a path of the repository, in backticks or in a command. */
const PATH = /(?<![\w/.-])(?:common|manager|worker|reporter|gateway|cli|loadtest|e2e|proto|gen|docs|examples|third_party)\/[\w./-]*\w(?:\/|\b)/g;
/** `[text](devices.md)`, `[text](../proto/nebula/v1)`: the path of a link that stays within the repository. */
const LINK = /\]\((?![a-z]+:)([^)#\s]+)(?:#[^)]*)?\)/g;

/** Systems for which a later version has drivers, and how a paragraph says that this one has none. Variables (`NEBULA_REDIS`) are not meant. */
const NO_DRIVER = /\b(?:cassandra|redis|kafka)\b/i;
const ABSENT = /not in this version|not built in(?:to)?\b|no driver for|no Kafka topic|only driver in this version/;

describe("the documents", () => {
  for (const document of DOCUMENTS) {
    it(`name what is there: ${document}`, () => {
      const text = readFileSync(`${ROOT}${document}`, "utf8");
      const missing = [...text.matchAll(PATH)].map(([path]) => path).filter((path) => !existsSync(`${ROOT}${path}`));
      assert.deepEqual(missing, []);
    });

    it(`promise no driver that this version lacks: ${document}`, () => {
      const paragraphs = readFileSync(`${ROOT}${document}`, "utf8").split(/\n\s*\n|\n(?=\||\d\. )/);
      const promises = paragraphs.filter((text) => NO_DRIVER.test(text) && !ABSENT.test(text));
      assert.deepEqual(promises, []);
    });

    it(`link to what is there: ${document}`, () => {
      const links = [...readFileSync(`${ROOT}${document}`, "utf8").matchAll(LINK)].map(([, path = ""]) => join(dirname(document), path));
      assert.deepEqual(
        links.filter((path) => !existsSync(`${ROOT}${path}`)),
        [],
      );
    });
  }
});
