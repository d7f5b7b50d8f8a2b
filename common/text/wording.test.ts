import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { capitalized, counted, LONGEST_REPEATED, nearestName, quote, shellWord, shown } from "./wording.ts";

/** Characters of one unit of UTF-16, and of two. */
const anyText = fc
  .tuple(fc.string({ unit: fc.constantFrom("a", "é", "😀", "𝒳"), maxLength: 200 }), fc.integer({ min: 1, max: 4 }))
  .map(([text, times]) => text.repeat(times));

describe("a caller's text in an answer", () => {
  it("a caller's text in an answer is its first 80 characters, of any width, or the whole of a shorter one", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const characters = [...text];
        const expected = characters.length > LONGEST_REPEATED ? `${characters.slice(0, LONGEST_REPEATED).join("")}...` : text;
        assert.equal(shown(text), expected);
        assert.equal(quote(text), JSON.stringify(expected));
      }),
    );
    for (const character of ["a", "😀"]) assert.equal(shown(character.repeat(10_000)), `${character.repeat(LONGEST_REPEATED)}...`);
  });
});

describe("a number of things", () => {
  it("a number of things has the singular for one alone", () => {
    assert.deepEqual(
      [0, 1, 2, 0n, 1n, 2n ** 60n].map((number) => counted(number, "device")),
      ["0 devices", "1 device", "2 devices", "0 devices", "1 device", "1152921504606846976 devices"],
    );
  });
});

describe("a word of a command line", () => {
  it("a word of a command line comes back from a shell as it was, and a plain one has no quotes", () => {
    for (const word of ["", "a b", "it's", "$HOME", "`id`", 'a"b', "a\\b", "*", "~", "-n", "\n", "pos/1:2"]) {
      assert.equal(execFileSync("/bin/sh", ["-c", `printf %s ${shellWord(word)}`], { encoding: "utf8" }), word, JSON.stringify(word));
    }
    assert.equal(shellWord("http://nebula:8080/a,b=1%+@x_y-z"), "http://nebula:8080/a,b=1%+@x_y-z");
  });
});

describe("a text at the start of a sentence", () => {
  it("a text at the start of a sentence has a capital, and the rest as it was", () => {
    assert.deepEqual(["restart", "an App", "Nebula", ""].map(capitalized), ["Restart", "An App", "Nebula", ""]);
  });
});

describe("the nearest name", () => {
  const known = ["docker_image", "env_vars", "networks", "volumes", "devices"];
  for (const [given, meant] of [
    ["docker-image", "docker_image"],
    ["dockerImage", "docker_image"],
    ["volume", "volumes"],
    ["netwrks", "networks"],
  ] as const) {
    it(`the nearest name of ${given} is ${meant}`, () => assert.equal(nearestName(given, known), meant));
  }
  it("the nearest name is undefined when no name is near", () => assert.equal(nearestName("colour", known), undefined));
  it("the nearest name is found in bounded time for a name of any length", () => assert.equal(nearestName("x".repeat(1_000_000), known), undefined));
});
