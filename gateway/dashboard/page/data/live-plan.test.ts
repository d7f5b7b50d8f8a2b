import { strict as assert } from "node:assert";
import fc from "fast-check";
import { planLive, type Shown } from "./live-plan.ts";

const shown = (key: string, lookedAt: number, more: Partial<Shown> = {}): Shown => ({ key, lookedAt, isVisible: true, mayStream: true, ...more });

describe("the plan of live data", () => {
  it("streams go to what was looked at last, and the rest is polled", () => {
    const ways = planLive([shown("old", 1), shown("new", 3), shown("middle", 2)], 2);
    assert.deepEqual(Object.fromEntries(ways), { old: "poll", new: "stream", middle: "stream" });
  });

  it("what a visible tab shows has a stream before what a hidden one shows, which is not polled", () => {
    const ways = planLive([shown("hidden", 9, { isVisible: false }), shown("visible", 1)], 1);
    assert.deepEqual(Object.fromEntries(ways), { hidden: "rest", visible: "stream" });
  });

  it("what has no stream, or was refused one, leaves its place to others", () => {
    const ways = planLive([shown("refused", 9, { mayStream: false }), shown("other", 1)], 1);
    assert.deepEqual(Object.fromEntries(ways), { refused: "poll", other: "stream" });
  });

  it("any tabs have at most as many streams as there may be, and all that is visible gets its data", () => {
    const one = fc.record({ lookedAt: fc.nat(50), isVisible: fc.boolean(), mayStream: fc.boolean() });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 12 }), fc.nat(3), (all, streams) => {
        const given = all.map((rest, index) => ({ key: `k${index}`, ...rest }));
        const ways = planLive(given, streams);
        const wanting = given.filter(({ mayStream }) => mayStream).length;
        assert.equal([...ways.values()].filter((way) => way === "stream").length, Math.min(streams, wanting));
        for (const { key, isVisible } of given) assert.equal(ways.get(key) === "rest" && isVisible, false);
      }),
    );
  });
});
