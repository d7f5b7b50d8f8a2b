import { strict as assert } from "node:assert";
import fc from "fast-check";
import { parseDurationMs, parseList, parsePair, parsePairs, parseWords } from "./text-values.ts";

describe("values on the command line", () => {
  it("values are lists as CSV, with [] and nothing for the empty one, and JSON for items with commas", () => {
    assert.deepEqual(parseList("a, b,c:ro", "--x"), ["a", "b", "c:ro"]);
    assert.deepEqual([parseList("", "--x"), parseList("[]", "--x")], [[], []]);
    assert.deepEqual(parseList('["a,b"]', "--x"), ["a,b"]);
    assert.throws(() => parseList("[1]", "--x"), /invalid --x .*: use a JSON list of strings/);
  });

  it("values are pairs, split at the first separator, and never shown in an error", () => {
    assert.deepEqual(parsePairs("URL:http://a:80/b,K:", "--env_vars"), { URL: "http://a:80/b", K: "" });
    assert.deepEqual(parsePairs("", "--env_vars"), {});
    assert.deepEqual(parsePair("K=a=b,c:d", "--env"), ["K", "a=b,c:d"]);
    assert.throws(
      () => parsePair("=secret", "--env"),
      (error: Error) => /use key=value/.test(error.message) && !error.message.includes("secret"),
    );
    assert.throws(() => parsePairs("K:v,plain", "--env_vars"), /invalid --env_vars "plain": use key:value/);
  });

  it("values are words as in a shell", () => {
    assert.deepEqual(parseWords(`sh -c "echo 'a b' \\"c\\"" '' x\\ y`, "--command"), ["sh", "-c", `echo 'a b' "c"`, "", "x y"]);
    assert.deepEqual(parseWords('["sh","-c","a b"]', "--command"), ["sh", "-c", "a b"]);
    assert.deepEqual(parseWords("  ", "--command"), []);
    assert.throws(() => parseWords("a 'b", "--command"), /--command has an unclosed '/);
  });

  it("values are words that are read back as they were once they are quoted", () => {
    const quoted = (word: string) => `'${word.replaceAll("'", `'"'"'`)}'`;
    fc.assert(fc.property(fc.array(fc.string()), (words) => assert.deepEqual(parseWords(words.map(quoted).join(" "), "--x"), words)));
  });

  it("values are durations", () => {
    assert.deepEqual([parseDurationMs("500ms", "--x"), parseDurationMs("1m30s", "--x")], [500, 90_000]);
    assert.throws(() => parseDurationMs("10", "--x"), /--x "10" is not a duration/);
  });
});
