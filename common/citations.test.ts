import { strict as assert } from "node:assert";
import { globSync, readFileSync } from "node:fs";
import { dirname } from "node:path";

/** Letters of the invariants that docs/design/ defines, and that any file may cite. Every other label belongs to the file that defines it. */
const DESIGN_LETTERS = "WRAFOI";

const SOURCES = "{common,manager,worker,reporter,gateway,cli,loadtest,e2e,deploy,proto}/**/*.{ts,tsx}";

/** Words of that form that are no labels, by file: the control characters of ASCII, and a variable of an example. */
const NO_LABELS: Readonly<Record<string, readonly string[]>> = {
  "common/citations.test.ts": ["C0", "C1"],
  "common/printable.ts": ["C0", "C1"],
  "common/printable.test.ts": ["C0", "C1"],
  "cli/nebulactl/output/hostile-text.test.ts": ["C1"],
  "cli/nebulactl/fields/env-fields.ts": ["K2"],
};

/** The labels that a text defines: each begins a line of a comment, or a sentence in one, and a text follows. */
function definedIn(source: string): Set<string> {
  const lines = source.split("\n").filter((line) => /^\s*(?:\*|\/\/|\/\*\*)/.test(line));
  const found = lines.flatMap((line) => [...line.matchAll(/(?:^\s*(?:\*|\/\/|\/\*\*)\s*|\. )([A-Z]\d{1,2}):?\s+["'`(]?[A-Za-z]/g)]);
  return new Set(found.flatMap(([, label]) => label ?? []));
}

/** The comment in a line; undefined if absent. */
function commentIn(line: string): string | undefined {
  return /^\s*(?:\*|\/\/|\/\*\*)(.*)/.exec(line)?.[1] ?? /(?:^|\s)\/\/ (.*)/.exec(line)?.[1];
}

/** The labels in the comments of a source, and at the beginning of its test names. */
function citedIn(source: string): Set<string> {
  const comments = source.split("\n").flatMap((line) => commentIn(line) ?? []);
  const names = [...source.matchAll(/\b(?:it|describe)\(\s*["'`](.*?):/g)].flatMap(([, head]) => head ?? []);
  const texts = [...comments, ...names.filter((head) => /^[A-Z]\d{1,2}\b/.test(head))];
  return new Set(texts.flatMap((text) => text.match(/(?<![\w"'`.-])[A-Z]\d{1,2}(?![\w"'`-])/g) ?? []));
}

/** The invariants of the pages of docs/design/: a list item that begins with a bold label. */
function definedByDesign(): Map<string, string[]> {
  const pages = new Map<string, string[]>();
  for (const page of globSync("docs/design/*.md")) {
    for (const [, label = ""] of readFileSync(page, "utf8").matchAll(/^- \*\*([A-Z]\d{1,2})\b/gm)) {
      pages.set(label, [...(pages.get(label) ?? []), page]);
    }
  }
  return pages;
}

describe("citations of invariants", () => {
  const design = definedByDesign();
  const sources = new Map(globSync(SOURCES).map((file) => [file, readFileSync(file, "utf8")]));

  function definedInFolder(folder: string): string[] {
    return [...sources].flatMap(([file, source]) => (dirname(file) === folder ? [...definedIn(source)] : []));
  }

  it("invariants are cited where docs/design/ or the same file defines them; a test may cite the files of its folder", () => {
    const undefinedOnes: string[] = [];
    let cited = 0;
    for (const [file, source] of sources) {
      const known = new Set([...(file.endsWith(".test.ts") ? definedInFolder(dirname(file)) : definedIn(source)), ...design.keys()]);
      for (const word of NO_LABELS[file] ?? []) known.add(word);
      for (const label of citedIn(source)) {
        cited++;
        if (!known.has(label)) undefinedOnes.push(`${file} cites ${label}`);
      }
    }
    assert.deepEqual(undefinedOnes, []);
    assert.ok(cited > 150, `${cited} citations`);
  });

  it("the letters of the design are labels of invariants of the design alone", () => {
    const own: string[] = [];
    for (const [file, source] of sources) {
      for (const label of definedIn(source)) {
        if (DESIGN_LETTERS.includes(label.charAt(0)) && !design.has(label)) own.push(`${file} defines ${label}`);
      }
    }
    assert.deepEqual(own, []);
  });

  it("each invariant of the design has one definition", () => {
    const designed = [...design].filter(([label]) => DESIGN_LETTERS.includes(label.charAt(0)));
    assert.deepEqual(
      designed.filter(([, pages]) => pages.length > 1),
      [],
    );
    assert.ok(designed.length >= 30, `${designed.length} invariants`);
  });
});

describe("file names in comments", () => {
  it("file names in comments are names of files that exist", () => {
    const files = globSync(SOURCES);
    const existing = [...files, ...globSync("gen/**/*.ts")];
    const named: string[] = [];
    const missing: string[] = [];
    for (const file of files) {
      const lines = readFileSync(file, "utf8").split("\n");
      for (const [index, line] of lines.entries()) {
        for (const [name] of (commentIn(line) ?? "").matchAll(/(?<![\w/.*-])[A-Za-z0-9_-]+(?:\/[A-Za-z0-9_.-]+)*\.ts\b/g)) {
          named.push(name);
          if (!existing.some((each) => each === name || each.endsWith(`/${name}`))) missing.push(`${file}:${index + 1}: ${name}`);
        }
      }
    }
    assert.deepEqual(missing, []);
    assert.ok(named.length >= 20, `${named.length} names`);
  });
});
