import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SELF = "common/plain-words.test.ts";

/** Phrases that a reader stumbles over, and what to write in their place. */
const PHRASES: readonly (readonly [RegExp, string])[] = [
  [/\bwould do\b/i, 'use <example>, as in `invalid port "x": use 1 to 65535`'],
  [/(?<!\bthere )\bis no (?!longer\b)/i, '"is not a ..."'],
  [/(?<!\bthere )\b(is|are) none\b/i, 'what it is in place of that, or "undefined if there is none"'],
  [/\bso that nobody\b/i, '"so that no <noun> ..."'],
  [/\banew\b/i, '"again", or a verb such as re-create, retry'],
  [/\bfor ever\b/i, '"permanently", "without end"'],
  [/\bwhoever\b/i, "the noun: the caller, each waiter"],
  [/\bwhatever\b/i, '"any ...", "each ..."'],
  [/\b(is|are) told\b/i, "receives, is notified, is reported"],
  [/\bso (long|often)(?! as\b)/i, '"for <name>", "every <name>"'],
  [/\bso many\b/i, '"this many", or the name of the number'],
  [/\bcomes over\b/i, '"is taken over"'],
  [/\bis had\b/i, '"is available"'],
  [/\bis not to be\b/i, '"must not be"'],
];

/** The beginning of a test name that continues its `describe`: a verb without a subject, or a relative clause. */
const WITHOUT_SUBJECT =
  /^(?:is|are|was|were|has|have|does|do|may|can|must|will|never|which|whose|who|that \w+s?|takes|refuses|says|tells|keeps|finds|gives|makes|leaves|holds|goes|lets|ends|rejects|returns|follows|waits|starts|stops|asks|removes|replaces|needs|knows|sends|comes|fail)\b/;

/** The names of the tests in a source that are no complete sentences, without the labels of invariants before them. */
function namesWithoutSubject(path: string, source: string): readonly string[] {
  const names = [...source.matchAll(/^\s*it(?:\.\w+)?\(\s*(["'`])((?:\\.|(?!\1)[^\\])*)\1/gm)].map(([, , name = ""]) => name);
  const sentences = names.map((name) => name.replace(/^(?:[A-Z]\d{1,2}(?:, | to )?)+: /, ""));
  return sentences.filter((name) => WITHOUT_SUBJECT.test(name)).map((name) => `${path}: "${name}": begin with the subject`);
}

/** Every text of the project that a person wrote, by its path. */
function texts(): readonly (readonly [path: string, text: string])[] {
  const listed = execFileSync("git", ["ls-files", "*.ts", "*.tsx", "*.css", "*.js", "*.md", "*.proto", "*.yaml", ".ci/run"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  const paths = listed.split("\n").filter((path) => path !== "" && !path.startsWith("gen/") && path !== SELF);
  return paths.map((path) => [path, readFileSync(join(ROOT, path), "utf8")]);
}

/** The lines of a text with a phrase of the list, each with what to write in place of it. */
function phrasesOf(path: string, text: string): readonly string[] {
  return text.split("\n").flatMap((line, index) =>
    PHRASES.flatMap(([phrase, better]) => {
      const [found] = phrase.exec(line) ?? [];
      return found === undefined ? [] : [`${path}:${index + 1}: "${found.trim()}": write ${better}`];
    }),
  );
}

describe("plain words", () => {
  it("a line of each phrase of the list is found, and plain lines are not", () => {
    const lines = [
      "1 to 9 would do",
      "x is no port",
      "x is none",
      "so that nobody waits",
      "made anew",
      "waits for ever",
      "whoever asks",
      "whatever it is",
      "the caller is told",
      "it waits so long",
      "at most so many",
      "what comes over",
      "is had",
      "is not to be used",
    ];
    assert.equal(lines.length, PHRASES.length);
    for (const line of lines) assert.notDeepEqual(phrasesOf("file.ts", line), [], line);
    for (const line of ["there is no port", "it is no longer there", "undefined if there is none", "so long as it runs"]) {
      assert.deepEqual(phrasesOf("file.ts", line), []);
    }
  });

  it("code, protos and documentation have no phrase of the list", () => {
    const all = texts();
    assert.ok(all.length > 1000, `${all.length} files`);
    assert.deepEqual(
      all.flatMap(([path, text]) => phrasesOf(path, text)),
      [],
    );
  });
});

/** The first word of a line of a comment that leaves open what the comment is about. */
const OPEN_WORD = /^\s*(?:\/\*\*|\*|\/\/) (?:What|Who|Whose|Which|Whatever|It) /;

describe("comments", () => {
  it("a comment that begins with an open word is found, and one with a noun or a verb is not", () => {
    for (const line of ["/** What it has. */", "  // Who asks", " * It is one", "  /** Which of them */"]) assert.match(line, OPEN_WORD);
    for (const line of ["/** Returns what it has. */", "// Whole numbers", " * Items", 'const it = "What is";']) assert.doesNotMatch(line, OPEN_WORD);
  });

  it("comments of code and protos begin with a noun or a verb", () => {
    const lines = texts()
      .filter(([path]) => /\.(?:ts|tsx|js|proto)$/.test(path))
      .flatMap(([path, text]) => text.split("\n").flatMap((line, index) => (OPEN_WORD.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])));
    assert.deepEqual(lines, []);
  });
});

describe("test names", () => {
  it("a name that continues its describe is found, and a complete sentence is not", () => {
    for (const name of ["is used once", "S1: never writes twice", "whose start fails is retried", "that hangs is ended"]) {
      assert.notDeepEqual(namesWithoutSubject("file.test.ts", `  it("${name}", () => {`), [], name);
    }
    for (const name of [
      "an inspect is used once",
      "S1: a stream never writes twice",
      "a pull that hangs is ended",
      "of many changes the device gets the last",
    ]) {
      assert.deepEqual(namesWithoutSubject("file.test.ts", `  it("${name}", () => {`), []);
    }
  });

  it("test names are complete sentences, readable without their describe", () => {
    const tests = texts().filter(([path]) => path.endsWith(".ts"));
    assert.ok(tests.filter(([, text]) => /^\s*it\(/m.test(text)).length > 300);
    assert.deepEqual(
      tests.flatMap(([path, text]) => namesWithoutSubject(path, text)),
      [],
    );
  });
});
