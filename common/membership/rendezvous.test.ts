import { strict as assert } from "node:assert";
import fc from "fast-check";
import type { Member } from "./membership.ts";
import { ownersOf, ownShard, ranked } from "./rendezvous.ts";

const shards = (count: number): Member[] =>
  Array.from({ length: count }, (_, i) => ({ name: `manager-${i}`, address: `manager-${i}:50051`, boot: `boot-${i}` }));
const counts = fc.integer({ min: 1, max: 8 });

describe("rendezvous hashing", () => {
  it("rendezvous hashing ranks alike for any order of the members", () => {
    fc.assert(
      fc.property(fc.string(), counts, (group, count) => {
        assert.deepEqual(ranked([group], shards(count)), ranked([group], shards(count).reverse()));
      }),
    );
  });

  it("a shard that leaves moves the groups that it owned, and no others", () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 2, max: 8 }), fc.nat(), (group, count, pick) => {
        const all = shards(count);
        const lost = all[pick % count];
        const [before] = ownersOf(group, all, 1);
        const [after] = ownersOf(
          group,
          all.filter((member) => member !== lost),
          1,
        );
        if (before !== lost) assert.deepEqual(after, before);
        else assert.notDeepEqual(after, lost);
      }),
    );
  });

  it("rendezvous hashing spreads a group over the number of shards that it asks for, as far as there are any", () => {
    assert.equal(ownersOf("pos", shards(5), 3).length, 3);
    assert.equal(ownersOf("pos", shards(2), 3).length, 2);
    assert.equal(ownersOf("pos", shards(2), 0).length, 1);
    assert.deepEqual(ownersOf("pos", [], 1), []);
    assert.equal(ownShard("pos", "device", []), undefined);
  });

  it("an owner of a spread group that leaves moves its own devices, and no others", () => {
    const owners = ownersOf("pos", shards(6), 4);
    const [lost, ...left] = owners;
    for (let i = 0; i < 500; i++) {
      const before = ownShard("pos", `device-${i}`, owners);
      if (before !== lost) assert.deepEqual(ownShard("pos", `device-${i}`, left), before);
    }
  });

  it("rendezvous hashing is balanced within a fifth over 4 shards and 8,000 devices", () => {
    const owners = shards(4);
    const load = new Map<string, number>();
    for (let i = 0; i < 8000; i++) {
      const address = ownShard("pos", `device-${i}`, owners)?.address ?? "";
      load.set(address, (load.get(address) ?? 0) + 1);
    }
    for (const count of load.values()) assert.ok(Math.abs(count - 2000) < 400, `${count} of 8000`);
  });
});
