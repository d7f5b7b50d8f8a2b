import { strict as assert } from "node:assert";
import fc from "fast-check";
import { BoundedMap } from "./bounded-map.ts";

describe("a bounded map", () => {
  it("a bounded map evicts the entry that was set or used longest ago", () => {
    const evicted: string[] = [];
    const map = new BoundedMap<string, number>(2, (value, key) => evicted.push(`${key}=${value}`));
    map.set("a", 1).set("b", 2);
    assert.equal(map.use("a"), 1);
    map.set("c", 3);
    assert.deepEqual([...map], Object.entries({ a: 1, c: 3 }));
    map.set("a", 4).set("d", 5);
    assert.deepEqual([...map], Object.entries({ a: 4, d: 5 }));
    assert.deepEqual(evicted, ["b=2", "c=3"]);
  });

  it("a bounded map does not call its listener for an entry that is deleted or replaced, and does not find an unknown key", () => {
    const map = new BoundedMap<string, number>(1, () => assert.fail("evicted"));
    map.set("a", 1).set("a", 2);
    assert.equal(map.use("b"), undefined);
    assert.ok(map.delete("a"));
    map.set("b", 1);
    assert.deepEqual([...map.keys()], ["b"]);
  });

  it("a bounded map holds the newest entries, at most its limit, in the order of their last use", () => {
    const steps = fc.array(fc.record({ key: fc.integer({ min: 0, max: 5 }), kind: fc.constantFrom("set", "use", "delete") }));
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 4 }), (taken, most) => {
        const map = new BoundedMap<number, number>(most);
        let model: number[] = [];
        for (const { key, kind } of taken) {
          if (kind === "set") map.set(key, key);
          else if (kind === "use") assert.equal(map.use(key), model.includes(key) ? key : undefined);
          else map.delete(key);
          const wasThere = model.includes(key);
          model = model.filter((other) => other !== key);
          if (kind === "set" || (kind === "use" && wasThere)) model = [...model, key].slice(-most);
        }
        assert.deepEqual([...map.keys()], model);
      }),
    );
  });
});
