import { strict as assert } from "node:assert";
import fc from "fast-check";
import { type Link, LinkedList } from "./linked-list.ts";

describe("a linked list", () => {
  it("a linked list has its values in the order in which they were added, also after some were taken out", () => {
    const act = fc.oneof(fc.constant("add" as const), fc.constant("shift" as const), fc.constant("clear" as const), fc.nat(9));
    fc.assert(
      fc.property(fc.array(act, { maxLength: 60 }), (acts) => {
        const list = new LinkedList<number>();
        const links: Link<number>[] = [];
        let expected: number[] = [];
        for (const [value, each] of acts.entries()) {
          if (each === "add") {
            links.push(list.add(value));
            expected.push(value);
          } else if (each === "shift") assert.equal(list.shift(), expected.shift());
          else if (each === "clear") {
            list.clear();
            expected = [];
          } else {
            const link = links[each]; // taken out before, or not
            if (link !== undefined) list.remove(link);
            expected = expected.filter((left) => left !== link?.value);
          }
          assert.deepEqual([[...list], list.size, list.first], [expected, expected.length, expected[0]]);
          assert.deepEqual([...list.fromLast()], expected.toReversed());
        }
      }),
    );
  });

  it("the value that was yielded last may be taken out of a linked list", () => {
    for (const [way, expected] of [
      ["forth", [1, 2, 3]],
      ["back", [3, 2, 1]],
    ] as const) {
      const list = new LinkedList<number>();
      const links = new Map([1, 2, 3].map((value) => [value, list.add(value)]));
      const seen: number[] = [];
      for (const value of way === "forth" ? list : list.fromLast()) {
        seen.push(value);
        const link = links.get(value);
        if (link !== undefined) list.remove(link);
      }
      assert.deepEqual([seen, list.size], [expected, 0], way);
    }
  });

  it("a link that was taken out of a linked list leads nowhere: what died keeps nothing alive that came later", () => {
    const list = new LinkedList<number>();
    const link = list.add(1);
    list.add(2);
    list.remove(link);
    assert.deepEqual([link.before, link.after], [undefined, undefined]);
  });
});
