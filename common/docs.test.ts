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

/** `[text](devices.md#rotation)`, `[text](#rotation)`: the path, if there is one, and the heading that a link leads to. */
const ANCHOR = /\]\((?![a-z]+:)([^)#\s]*)#([^)\s]+)\)/g;

/** The anchors of the headings of a page, as GitHub makes them. */
function anchorsOf(path: string): ReadonlySet<string> {
  const headings = readFileSync(path, "utf8").matchAll(/^#+ (.+)$/gm);
  return new Set(
    [...headings].map(([, heading = ""]) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\w\- ]/g, "")
        .replaceAll(" ", "-"),
    ),
  );
}

/** Written by programs, from texts that are lines of other things. */
const GENERATED = new Set(["docs/nebulactl.md", "docs/settings.md"]);
const LONGEST_LINE = 120;

/** The lines of prose of a document: without those of code, tables and pictures. */
function proseOf(text: string): readonly string[] {
  let isCode = false;
  return text.split("\n").filter((line) => {
    const isFence = /^\s*```/.test(line);
    if (isFence) isCode = !isCode;
    return !isFence && !isCode && !/^\s*(?:\||!\[)/.test(line);
  });
}

/** The most bytes of a picture in the README. */
const LARGEST_PICTURE = 300_000;

describe("the documents", () => {
  it("the README has a picture, and each of its pictures is a PNG below 300 kB", () => {
    const pictures = [...readFileSync(`${ROOT}README.md`, "utf8").matchAll(/!\[[^\]]+\]\((?![a-z]+:)([^)\s]+)\)/g)].map(([, path = ""]) => path);
    assert.ok(pictures.includes("docs/dashboard.png"), pictures.join(", "));
    for (const path of pictures) {
      const picture = readFileSync(`${ROOT}${path}`);
      assert.equal(picture.subarray(0, 8).toString("latin1"), "\x89PNG\r\n\x1a\n", path);
      assert.ok(picture.byteLength < LARGEST_PICTURE, `${path}: ${picture.byteLength} bytes`);
    }
  });

  for (const document of DOCUMENTS.filter((each) => !GENERATED.has(each))) {
    it(`lines of prose in ${document} have at most ${LONGEST_LINE} characters`, () => {
      const prose = proseOf(readFileSync(`${ROOT}${document}`, "utf8"));
      assert.deepEqual(
        prose.filter((line) => line.length > LONGEST_LINE),
        [],
      );
    });
  }

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

    it(`links in ${document} lead to headings that exist`, () => {
      const links = [...readFileSync(`${ROOT}${document}`, "utf8").matchAll(ANCHOR)].map(([, path = "", anchor = ""]) => ({ path, anchor }));
      const pageOf = (path: string) => `${ROOT}${path === "" ? document : join(dirname(document), path)}`;
      assert.deepEqual(
        links.filter(({ path, anchor }) => !anchorsOf(pageOf(path)).has(anchor)),
        [],
      );
    });
  }
});

describe("docs/outages.md", () => {
  const ROWS = ["devices", "changes", "reports", "logins", "how long"];
  const [, ...sections] = readFileSync(`${ROOT}docs/outages.md`, "utf8").split("\n## ");
  const rowsOf = (section: string) => section.split("\n").flatMap((line) => (/^\| \w/.test(line) ? [line.split("|").slice(1, -1)] : []));

  it("docs/outages.md says of each part that may be away what devices, changes, reports and logins do, and how long", () => {
    const rows = sections.map((section) => rowsOf(section).map(([what = ""]) => what.trim()));
    assert.ok(rows.length > 10);
    assert.deepEqual(
      rows,
      rows.map(() => ROWS),
    );
  });

  it("each line of docs/outages.md names tests that exist", () => {
    const shown = /`(?<file>[^`]+)`: (?<titles>"[^"]+"(?:; "[^"]+")*)/g;
    const flaws = sections.flatMap(rowsOf).flatMap(([what = "", , tests = ""]) => {
      const named = [...tests.matchAll(shown)];
      if (tests.replaceAll(shown, "").replaceAll(/[; ]/g, "") !== "" || named.length === 0) return [`${what}: ${tests} names no tests`];
      return named.flatMap(({ groups: { file = "", titles = "" } = {} }) => {
        const text = existsSync(`${ROOT}${file}`) ? readFileSync(`${ROOT}${file}`, "utf8") : "";
        const names = [...text.matchAll(/^\s*(?:it\(|title: )\s*(["'`])(.*)\1/gm)].map(([, , name = ""]) => name);
        return [...titles.matchAll(/"([^"]+)"/g)].flatMap(([, title = ""]) =>
          names.some((name) => name.includes(title)) ? [] : [`${file}: ${title}`],
        );
      });
    });
    assert.deepEqual(flaws, []);
  });
});
