import { strict as assert } from "node:assert";
import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

/** The folders that each top-level folder may import besides itself: gen <- common <- the parts <- cli <- loadtest, e2e <- deploy. */
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
  deploy: ["gen", "common", ...PARTS, "cli", "e2e"],
};

/** Packages that one file, or one folder, keeps behind an interface of ours. */
const ONLY_IN: Readonly<Record<string, RegExp>> = {
  dockerode: /^worker\/runtime\/docker|^common\/testing\/|^e2e\//,
  kafkajs: /^common\/bus\/kafka|^e2e\/cluster\//,
  "cassandra-driver": /^common\/storage\/cassandra\/|^loadtest\/store-bench|^e2e\/cluster\//,
  ioredis: /^common\/redis\/|^e2e\/cluster\//,
  testcontainers: /^common\/testing\//,
  esbuild: /^cli\/build\/|^gateway\/dashboard\/serve\/|^e2e\/dashboard\//,
  "playwright-core": /^common\/testing\/|^e2e\/dashboard\/|^loadtest\/dashboard\//,
  preact: /^gateway\/dashboard\/page\//,
  "node:sqlite": /^common\/storage\/sqlite\//,
};

/** Files that a browser loads: the page of the dashboard, and the texts that it shares with nebulactl. */
const PAGE = "gateway/dashboard/page/";
const FOR_BROWSERS = [
  `${PAGE}**/*.{ts,tsx}`,
  "common/insight/text/*.ts",
  "common/insight/advice.ts",
  "common/insight/device-state.ts",
  "common/resources/field-changes.ts",
  "common/resources/{print-resource,read-resource,target-kind,yaml-tree}.ts",
  "common/text/{age,cell,enum-words,time-before,wording}.ts",
  "common/printable.ts",
];
/** The packages that a browser may load. */
const PAGE_PACKAGES = /^(?:preact(?:\/hooks)?|@preact\/signals|@connectrpc\/connect(?:-web)?|@bufbuild\/protobuf(?:\/\w+)?|yaml)$/;

type Import = { file: string; specifier: string };

/** The imports of a file that are still there when it runs: those of types alone are not. */
function importsAtRunTime(file: string): Import[] {
  const source = readFileSync(file, "utf8").replace(/(?:^|\n)\s*(?:import|export) type\s[^"';]*?from\s*"[^"]+"/g, "");
  return importsIn(file, source);
}

/** These files and all that they load, of the repository. */
function loadedBy(files: readonly string[]): readonly string[] {
  const loaded = new Set(files);
  for (const file of loaded) {
    for (const { specifier } of importsAtRunTime(file)) if (specifier.startsWith(".")) loaded.add(normalize(join(dirname(file), specifier)));
  }
  return [...loaded].filter((file) => /\.tsx?$/.test(file));
}

function importsOf(file: string): Import[] {
  return importsIn(file, readFileSync(file, "utf8"));
}

function importsIn(file: string, source: string): Import[] {
  return [...source.matchAll(/(?:^|\n)\s*(?:import|export)\s[^"';]*?from\s*"([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)|(?:^|\n)import\s*"([^"]+)"/g)].map(
    (match) => ({
      file,
      specifier: match[1] ?? match[2] ?? match[3] ?? "",
    }),
  );
}

/**
 * The imports between the folders of a folder, without those of tests: the folders that each folder imports. Files
 * directly in the outer folder put its folders together and count as none.
 */
function folderEdges(outer: string, imports: readonly Import[]): ReadonlyMap<string, ReadonlySet<string>> {
  const edges = new Map<string, Set<string>>();
  const depth = outer.split("/").length + 1;
  const folderOf = (path: string) =>
    path.split("/").length > depth && path.startsWith(`${outer}/`) ? path.split("/").slice(0, depth).join("/") : undefined;
  for (const { file, specifier } of imports) {
    if (!specifier.startsWith(".") || /\.test\.ts$|-contract\.ts$|\/testing\//.test(file)) continue;
    const [from, to] = [folderOf(file), folderOf(normalize(join(dirname(file), specifier)))];
    if (from === undefined || to === undefined || from === to) continue;
    edges.set(from, (edges.get(from) ?? new Set()).add(to));
  }
  return edges;
}

/** The folders that contain the folder of a file, the outermost first. */
function outerFoldersOf(file: string): readonly string[] {
  const parts = file.split("/").slice(0, -2);
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
}

/** One cycle per folder at which a depth-first search closes one; empty if absent. */
function cyclesOf(edges: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  const cycles: string[] = [];
  const done = new Set<string>();
  const visit = (folder: string, path: readonly string[]): void => {
    const at = path.indexOf(folder);
    if (at >= 0) cycles.push([...path.slice(at), folder].join(" -> "));
    if (at >= 0 || done.has(folder)) return;
    for (const next of edges.get(folder) ?? []) visit(next, [...path, folder]);
    done.add(folder);
  };
  for (const folder of edges.keys()) visit(folder, []);
  return cycles;
}

describe("the check of imports", () => {
  const folders = Object.keys(ALLOWED);
  const imports = folders.flatMap((folder) => globSync(`${folder}/**/*.{ts,tsx}`)).flatMap(importsOf);

  it("the source has imports", () => {
    assert.ok(imports.some(({ file, specifier }) => file.startsWith("common/") && specifier.includes("gen/")));
  });

  it("imports go in one direction only: gen <- common <- manager | worker | reporter | gateway <- cli <- loadtest, e2e <- deploy", () => {
    const wrong = imports.filter(({ file, specifier }) => {
      if (!specifier.startsWith(".")) return false;
      const from = file.split("/")[0] ?? "";
      const to = normalize(join(dirname(file), specifier)).split("/")[0] ?? "";
      return to !== from && !(ALLOWED[from] ?? []).includes(to) && to !== "package.json";
    });
    assert.deepEqual(wrong, []);
  });

  const edgesOf = new Map([...new Set(imports.flatMap(({ file }) => outerFoldersOf(file)))].map((outer) => [outer, folderEdges(outer, imports)]));
  const connected = [...edgesOf].filter(([, edges]) => edges.size > 0);

  it("folders that import each other are found in every part, at any depth", () => {
    for (const part of ["common", "gateway", "manager", "worker", "cli", "loadtest", "e2e", "worker/plan", "common/storage/cassandra"]) {
      assert.ok(
        connected.some(([outer]) => outer === part),
        `no imports between the folders of ${part}/ were found`,
      );
    }
  });

  for (const [outer, edges] of connected) {
    it(`the folders of ${outer}/ import each other without cycles, types included`, () => {
      assert.deepEqual(cyclesOf(edges), []);
    });
  }

  it("a cycle between folders is reported", () => {
    const edges = folderEdges("common", [
      { file: "common/a/one.ts", specifier: "../b/two.ts" },
      { file: "common/b/x/two.ts", specifier: "../../c/three.ts" },
      { file: "common/c/three.ts", specifier: "../a/one.ts" },
      { file: "common/d/four.ts", specifier: "../a/one.ts" },
    ]);
    assert.deepEqual(cyclesOf(edges), ["common/a -> common/b -> common/c -> common/a"]);
  });

  it("files that a browser loads import only common, gen and the page, and the packages of the page", () => {
    const files = loadedBy(FOR_BROWSERS.flatMap((pattern) => globSync(pattern)).filter((file) => !/\.test\.tsx?$/.test(file)));
    for (const file of ["common/insight/text/plan-text.ts", "common/text/age.ts", "gen/nebula/v1/device_pb.ts"])
      assert.ok(files.includes(file), file);
    const wrong = files.flatMap(importsAtRunTime).filter(({ specifier }) => !specifier.startsWith(".") && !PAGE_PACKAGES.test(specifier));
    assert.deepEqual(wrong, []);
    const elsewhere = files.filter((file) => !/^(?:common|gen)\//.test(file) && !file.startsWith(PAGE));
    assert.deepEqual(elsewhere, []);
  });

  it("no other part imports what runs in browsers, besides its tests", () => {
    const within = ({ file, specifier }: Import) => specifier.startsWith(".") && normalize(join(dirname(file), specifier)).startsWith(PAGE);
    assert.deepEqual(
      imports.filter((one) => within(one) && !one.file.startsWith(PAGE) && !one.file.startsWith("e2e/dashboard/")),
      [],
    );
  });

  it("the package of an outside system is imported only in its driver", () => {
    const wrong = imports.filter(({ file, specifier }) => {
      const allowed = ONLY_IN[specifier];
      return allowed !== undefined && !allowed.test(file);
    });
    assert.deepEqual(wrong, []);
  });
});
