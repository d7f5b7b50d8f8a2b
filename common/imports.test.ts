import { strict as assert } from "node:assert";
import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

/** What each top-level folder may import besides itself: gen <- common <- the parts <- cli <- loadtest, e2e. */
const PARTS = ["manager", "worker", "reporter", "gateway"];
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  gen: [],
  common: ["gen"],
  manager: ["gen", "common"],
  worker: ["gen", "common"],
  reporter: ["gen", "common"],
  gateway: ["gen", "common"],
  cli: ["gen", "common", ...PARTS],
  loadtest: ["gen", "common", ...PARTS, "cli"],
  e2e: ["gen", "common", ...PARTS, "cli"],
};

/** Packages that one file, or one folder, keeps behind an interface of ours. */
const ONLY_IN: Readonly<Record<string, RegExp>> = {
  dockerode: /^worker\/runtime\/docker|^common\/testing\/|^e2e\//,
  kafkajs: /^common\/bus\/kafka/,
  "cassandra-driver": /^common\/storage\/cassandra\//,
  ioredis: /^common\/(storage|feed|membership)\/.*redis/,
  "node:sqlite": /^common\/storage\/sqlite\//,
};

type Import = { file: string; specifier: string };

function importsOf(file: string): Import[] {
  const source = readFileSync(file, "utf8");
  return [...source.matchAll(/(?:^|\n)\s*(?:import|export)\s[^"';]*?from\s*"([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)|(?:^|\n)import\s*"([^"]+)"/g)].map(
    (match) => ({
      file,
      specifier: match[1] ?? match[2] ?? match[3] ?? "",
    }),
  );
}

describe("imports", () => {
  const folders = Object.keys(ALLOWED);
  const imports = folders.flatMap((folder) => globSync(`${folder}/**/*.ts`)).flatMap(importsOf);

  it("are found at all", () => {
    assert.ok(imports.some(({ file, specifier }) => file.startsWith("common/") && specifier.includes("gen/")));
  });

  it("go one way: gen <- common <- manager | worker | reporter | gateway <- cli <- loadtest, e2e", () => {
    const wrong = imports.filter(({ file, specifier }) => {
      if (!specifier.startsWith(".")) return false;
      const from = file.split("/")[0] ?? "";
      const to = normalize(join(dirname(file), specifier)).split("/")[0] ?? "";
      return to !== from && !(ALLOWED[from] ?? []).includes(to) && to !== "package.json";
    });
    assert.deepEqual(wrong, []);
  });

  it("reach an outside system only in its driver", () => {
    const wrong = imports.filter(({ file, specifier }) => {
      const allowed = ONLY_IN[specifier];
      return allowed !== undefined && !allowed.test(file);
    });
    assert.deepEqual(wrong, []);
  });
});
