import { strict as assert } from "node:assert";
import fc from "fast-check";
import { PlainHeaders } from "./plain-headers.ts";

type Step = Readonly<{ kind: "append" | "set" | "delete"; name: string; value: string }>;

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom("append", "set", "delete"),
  name: fc.constantFrom("a", "A", "Content-Type", "content-type", "x-b"),
  value: fc.constantFrom("", "1", " two ", "a, b", "tab\tin"),
});

function apply(headers: Headers, { kind, name, value }: Step): void {
  if (kind === "delete") headers.delete(name);
  else headers[kind](name, value);
}

describe("plain headers", () => {
  it("plain headers answer as the platform's own do after any sequence of changes", () => {
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const [ours, theirs] = [new PlainHeaders({ "X-Given": "yes" }), new Headers({ "X-Given": "yes" })];
        for (const each of steps) {
          apply(ours, each);
          apply(theirs, each);
          for (const name of ["a", "CONTENT-TYPE", "x-b"]) assert.deepEqual([ours.get(name), ours.has(name)], [theirs.get(name), theirs.has(name)]);
        }
        assert.deepEqual([...ours], [...theirs]);
        assert.deepEqual([[...ours.keys()], [...ours.values()]], [[...theirs.keys()], [...theirs.values()]]);
        const seen: string[][] = [];
        ours.forEach((value, name) => void seen.push([name, value]));
        assert.deepEqual(seen, [...theirs]);
        assert.deepEqual([...new PlainHeaders(ours)], [...new Headers(theirs)]);
      }),
    );
  });
});
