import { strict as assert } from "node:assert";
import fc from "fast-check";
import { foreseenPull, type KnownPullFacts, needsPull, type PullFacts } from "./pull-need.ts";

const NOTHING_KNOWN = {
  isWanted: undefined,
  isStale: undefined,
  sameSpecExists: undefined,
  isLocal: undefined,
  isPulledForSpec: undefined,
  isUsed: undefined,
} as const;

const arbitraryFacts: fc.Arbitrary<PullFacts> = fc.record({
  policy: fc.constantFrom("on_change", "always", "missing", "never"),
  isWanted: fc.boolean(),
  isStale: fc.boolean(),
  sameSpecExists: fc.boolean(),
  isLocal: fc.boolean(),
  isPulledForSpec: fc.boolean(),
  isUsed: fc.boolean(),
});

describe("the need of a pull", () => {
  it("a foreseen pull never contradicts the facts, and is certain where all of them are known", () => {
    const facts = Object.keys(NOTHING_KNOWN) as (keyof typeof NOTHING_KNOWN)[];
    fc.assert(
      fc.property(arbitraryFacts, fc.subarray(facts), (all, hidden) => {
        const known: KnownPullFacts = { ...all, ...Object.fromEntries(hidden.map((fact) => [fact, undefined])) };
        const foreseen = foreseenPull(known);
        const truth = needsPull(all) ? "yes" : "no";
        assert.ok(foreseen === "maybe" ? hidden.length > 0 : foreseen === truth, `${foreseen}, and it is ${truth}`);
      }),
      { numRuns: 1000 },
    );
  });

  it("a pull is foreseen for a new spec, not for one more container of the same spec, and left open where only the device knows", () => {
    const facts = { ...NOTHING_KNOWN, policy: "on_change" as const, isWanted: true, isStale: false };
    assert.equal(foreseenPull({ ...facts, sameSpecExists: false, isPulledForSpec: false }), "yes");
    assert.equal(foreseenPull({ ...facts, sameSpecExists: true, isLocal: true }), "no");
    assert.equal(foreseenPull({ ...facts, sameSpecExists: false }), "maybe");
    assert.equal(foreseenPull({ ...facts, policy: "missing", isLocal: undefined }), "maybe");
    assert.equal(foreseenPull({ ...facts, policy: "never" }), "no");
  });
});
