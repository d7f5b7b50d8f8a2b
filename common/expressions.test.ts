import { strict as assert } from "node:assert";
import { globSync, readFileSync } from "node:fs";
import { type Expression, expressionsOf } from "./testing/expressions-of.ts";

const LARGEST = 256 * 1024;
/** On the way there, so that one that takes long is recognised before it takes minutes. */
const MEDIUM = 64 * 1024;
const SMALL = 1024;
const GROWTH = 8;
/** Work on a text that is GROWTH times as long may grow so much more than the text: a quadratic expression's grows GROWTH times as much. */
const TOLERANCE = 3;
/** A search that takes less on the longer text, milliseconds, is not compared: its time shows only how busy the machine is. */
const WORTH_COMPARING_MS = 20;
/** How many times in a row it has to be found, in the shortest of how many tries: the machine may be busy. */
const ROUNDS = 4;
const TRIES = 3;
/** Of the texts for an expression, those that are tried longer: a machine that is busy once has one of the others seem slow. */
const SLOWEST = 5;

const FILES = globSync("{gateway,manager,common,cli,reporter,worker}/**/*.ts").filter((file) => !/\.test\.ts$|-contract\.ts$|\/testing\//.test(file));
/** Expressions that are put together: their text is not a caller's, or is escaped. */
const PUT_TOGETHER: readonly string[] = ["worker/report/host.ts"];

describe("regular expressions", function () {
  this.timeout(300_000);
  const all = FILES.flatMap((file) => expressionsOf(readFileSync(file, "utf8")).map((expression) => ({ file, ...expression })));

  it("regular expressions are found in every part, at their place", () => {
    assert.ok(all.length > 120, String(all.length));
    for (const part of ["gateway", "manager", "common", "cli", "worker"])
      assert.ok(
        all.some(({ file }) => file.startsWith(part)),
        part,
      );
    const sample =
      "#!/usr/bin/env node\n// /no/\nconst a = b / c / d; /* /no/ */ const e = `/no/${f(/yes[/]\\//gi)}/no/`;\nreturn /too/.test('/no/');\n";
    assert.deepEqual(expressionsOf(sample), [
      { line: 3, source: "yes[/]\\/", flags: "gi" },
      { line: 4, source: "too", flags: "" },
    ]);
  });

  it("regular expressions are literals, so that they can be checked", () => {
    const wrong = FILES.filter((file) => readFileSync(file, "utf8").includes("new RegExp(") && !PUT_TOGETHER.includes(file));
    assert.deepEqual(wrong, []);
  });

  it("regular expressions that take quadratic time are recognised", () => {
    const bad = [
      ', (?:\\.\\.\\.)?".*" is not valid JSON',
      "=+$",
      "\\s*\\r?\\n\\s*",
      "network with name .* already exists",
      "(a from JSON: .*?), got .*",
      "\\/.*$",
    ];
    assert.deepEqual(
      bad.filter((source) => worst({ line: 0, source, flags: "" }) === undefined),
      [],
    );
    assert.equal(worst({ line: 0, source: "^[a-z]+(?:-[a-z]+)*$", flags: "" }), undefined);
  });

  it("regular expressions take linear time over any text of 256 KB", () => {
    const wrong = all.flatMap(({ file, ...expression }) => {
      const found = worst(expression);
      return found === undefined ? [] : [`${file}:${expression.line} /${expression.source}/ over ${JSON.stringify(found.slice(0, 60))}...`];
    });
    assert.deepEqual(wrong, []);
  });
});

/** A text over which the work of an expression grows faster than the text; undefined: none was found. */
function worst({ source, flags }: Expression): string | undefined {
  const expression = new RegExp(source, flags);
  const tried: { ms: number; make: MakeText }[] = [];
  for (const make of texts(source)) {
    if (isSuperlinear(expression, make, SMALL)) return make(SMALL);
    tried.push({ ms: shortest(expression, make(SMALL * GROWTH)), make });
  }
  const slowest = tried.toSorted((a, b) => b.ms - a.ms).slice(0, SLOWEST);
  const isFound = ({ make }: { make: MakeText }) => [MEDIUM, LARGEST].some((length) => isSuperlinear(expression, make, length / GROWTH));
  return slowest.find(isFound)?.make(SMALL);
}

function isSuperlinear(expression: RegExp, make: MakeText, length: number): boolean {
  const [short, long] = [make(length), make(length * GROWTH)];
  if (timed(expression, long) < WORTH_COMPARING_MS) return false;
  const best = (text: string) => Math.min(...Array.from({ length: TRIES }, () => timed(expression, text)));
  return Array.from({ length: ROUNDS }).every(() => {
    const took = best(long);
    return took >= WORTH_COMPARING_MS && took > best(short) * GROWTH * TOLERANCE;
  });
}

/** As `timed`, tried again where it was long: the machine may be busy. */
function shortest(expression: RegExp, text: string): number {
  const once = timed(expression, text);
  return once < WORTH_COMPARING_MS ? once : Math.min(once, ...Array.from({ length: TRIES }, () => timed(expression, text)));
}

/** Milliseconds to look for every match. */
function timed(expression: RegExp, text: string): number {
  expression.lastIndex = 0;
  const started = performance.now();
  text.replace(expression, "");
  return performance.now() - started;
}

type MakeText = (length: number) => string;

function textOf(before: string, unit: string, end: string): MakeText {
  return (length) => before + unit.repeat(Math.max(1, Math.floor(length / unit.length))) + end;
}

/** Texts that keep an expression trying: each of its words and characters, alone and in pairs, again and again, and an end that does not match. */
function* texts(source: string): Generator<MakeText> {
  const words = wordsOf(source);
  const characters = [...new Set([...words.join("").slice(0, 40), ...classesOf(source)])];
  const units = new Set([...words, ...characters, words.join(""), ...words.map((word, index) => word + (words[index + 1] ?? ""))]);
  if (words.length <= 4) for (const one of words) for (const other of words) for (const last of ["", ...words]) units.add(one + other + last);
  if (characters.length <= 8) for (const one of characters) for (const other of characters) units.add(one + other);
  for (const unit of units) {
    if (unit === "") continue;
    for (const before of new Set(["", words[0] ?? "a"])) for (const end of ["", "\n\u0000"]) yield textOf(before, unit, end);
  }
}

/** The parts of an expression that stand for themselves. */
function wordsOf(source: string): string[] {
  const plain = source
    .replaceAll(/\\[dDwWsSbBpP](?:\{[^}]*\})?|\[(?:\\.|[^\]\\])*\]|\{[0-9,]+\}|\(\?[:=!]?|[()|*+?^$.]/g, (part, at: number) =>
      source[at - 1] === "\\" ? part : "\u0001",
    )
    .replaceAll(/\\([^a-zA-Z0-9])/g, "$1")
    .replaceAll("\\n", "\n")
    .replaceAll("\\r", "\r")
    .replaceAll("\\0", "\u0000");
  return plain.split("\u0001").filter((word) => word !== "" && word !== "\\");
}

/** A character or two of each class in an expression. */
function classesOf(source: string): string[] {
  const found: string[] = [];
  if (/\\d|0-9/.test(source)) found.push("0");
  if (/\\w|a-z|\./.test(source)) found.push("a");
  if (/A-Z/.test(source)) found.push("A");
  if (/\\s/.test(source)) found.push(" ", "\n", "\t");
  for (const [, inside = ""] of source.matchAll(/\[\^?((?:\\.|[^\]\\])*)\]/g)) {
    const plain = inside.replaceAll("\\r", "\r").replaceAll("\\n", "\n").replaceAll("\\", "");
    found.push(...plain.slice(0, 6));
  }
  return found;
}
