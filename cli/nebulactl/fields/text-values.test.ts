import { strict as assert } from "node:assert";
import fc from "fast-check";
import { parseDurationMs, parseList, parsePair, parsePairs, parseWords } from "./text-values.ts";

describe("values on the command line", () => {
  it("are lists as CSV, with [] and nothing for the empty one, and JSON for items with commas", () => {
    assert.deepEqual(parseList("a, b,c:ro", "--x"), ["a", "b", "c:ro"]);
    assert.deepEqual([parseList("", "--x"), parseList("[]", "--x")], [[], []]);
    assert.deepEqual(parseList('["a,b"]', "--x"), ["a,b"]);
    assert.throws(() => parseList("[1]", "--x"), /--x starts like a JSON list and is no list of texts/);
  });

  it("are pairs, split at the first separator, and never shown in an error", () => {
    assert.deepEqual(parsePairs("URL:http://a:80/b,K:", "--env_vars"), { URL: "http://a:80/b", K: "" });
    assert.deepEqual(parsePairs("", "--env_vars"), {});
    assert.deepEqual(parsePair("K=a=b,c:d", "--env"), ["K", "a=b,c:d"]);
    assert.throws(
      () => parsePair("=secret", "--env"),
      (error: Error) => /wants key=value/.test(error.message) && !error.message.includes("secret"),
    );
    assert.throws(() => parsePairs("K:v,plain", "--env_vars"), /--env_vars wants key:value, and "plain" is none/);
  });

  it("are words as in a shell", () => {
    assert.deepEqual(parseWords(`sh -c "echo 'a b' \\"c\\"" '' x\\ y`, "--command"), ["sh", "-c", `echo 'a b' "c"`, "", "x y"]);
    assert.deepEqual(parseWords('["sh","-c","a b"]', "--command"), ["sh", "-c", "a b"]);
    assert.deepEqual(parseWords("  ", "--command"), []);
    assert.throws(() => parseWords("a 'b", "--command"), /--command has a ' that is never closed/);
  });

  it("are words that come back as they were once they are quoted", () => {
    const quoted = (word: string) => `'${word.replaceAll("'", `'"'"'`)}'`;
    fc.assert(fc.property(fc.array(fc.string()), (words) => assert.deepEqual(parseWords(words.map(quoted).join(" "), "--x"), words)));
  });

  it("are durations", () => {
    assert.deepEqual([parseDurationMs("500ms", "--x"), parseDurationMs("1m30s", "--x")], [500, 90_000]);
    assert.throws(() => parseDurationMs("10", "--x"), /--x "10" is no duration/);
  });
});
