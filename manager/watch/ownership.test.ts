import { strict as assert } from "node:assert";
import fc from "fast-check";
import type { Member } from "../../common/membership/membership.ts";
import { ownersOf, ownShard } from "../../common/membership/rendezvous.ts";
import { TestMembership } from "../testing/test-membership.ts";
import { createOwnership } from "./ownership.ts";

const member = (name: string): Member => ({ name, address: `${name}:1`, boot: `boot of ${name}` });
const NAMES = ["a", "b", "c", "d", "e", "f"];
const SELF = member("self");

function ownershipOf(membership: TestMembership, { redirect = true } = {}) {
  return createOwnership({ membership, address: () => "self:1", redirect, signal: new AbortController().signal });
}

describe("ownership", () => {
  it("ownership gives every watch to exactly one of the shards, which all agree on, an impaired one only while none is well", () => {
    const states = fc.uniqueArray(fc.record({ name: fc.constantFrom(...NAMES), impaired: fc.boolean() }), {
      minLength: 1,
      selector: ({ name }) => name,
    });
    fc.assert(
      fc.property(
        states,
        fc.string({ minLength: 1 }),
        fc.integer({ min: 0, max: 8 }),
        fc.option(fc.string({ minLength: 1 })),
        (all, group, spread, device) => {
          const members = all.map(({ name, impaired }): Member => (impaired ? { ...member(name), impaired } : member(name)));
          const deviceId = device ?? undefined;
          const servers = members.filter((self) => {
            const others = members.filter((other) => other !== self);
            return ownershipOf(new TestMembership(self, others)).redirectTarget(group, spread, deviceId) === undefined;
          });
          assert.equal(servers.length, 1);
          const [server] = servers;
          const well = members.filter(({ impaired }) => impaired !== true);
          const owners = ownersOf(group, well.length > 0 ? well : members, spread);
          assert.equal(server?.name, (deviceId === undefined ? owners[0] : ownShard(group, deviceId, owners))?.name);
          for (const self of members) {
            const others = members.filter((other) => other !== self);
            const ownership = ownershipOf(new TestMembership(self, others));
            assert.equal(ownership.shards(group, spread, deviceId)[0], server?.address, "the map of every shard begins with it");
            assert.equal(ownership.ownsNothing, self.impaired === true && well.length > 0);
            if (others.length > 0) assert.notEqual(ownership.successor(group, spread, deviceId)?.name, self.name);
          }
        },
      ),
    );
  });

  it("ownership ranks each group once per membership change, however many devices ask", () => {
    const membership = new TestMembership(SELF, ["a", "b"].map(member));
    const ownership = ownershipOf(membership);
    const askAll = () => {
      for (let device = 0; device < 500; device++)
        for (const [group, spread] of [
          ["narrow", 1],
          ["wide", 2],
        ] as const)
          ownership.redirectTarget(group, spread, `d${device}`);
      ownership.shards("narrow", 1, "d");
    };
    askAll();
    assert.equal(ownership.rankings, 2);
    membership.set(["a", "b", "c"].map(member));
    askAll();
    assert.equal(ownership.rankings, 4);
    membership.set(["a", "b", "c"].map(member));
    askAll();
    assert.equal(ownership.rankings, 4, "nothing changed");
  });

  it("ownership notifies of each change of the membership once, and not of a message that changes nothing", () => {
    const membership = new TestMembership(SELF, [member("a")]);
    const ownership = ownershipOf(membership);
    const seen: string[] = [];
    const subscription = ownership.onChange(() => seen.push(ownership.members.map(({ name }) => name).join()));
    for (const others of [["a", "b"], ["a", "b"], ["b"]]) membership.set(others.map(member));
    membership.setImpaired(true);
    assert.deepEqual(seen, ["self,a,b", "self,b", "self,b"]);
    assert.equal(ownership.version, 3);
    subscription[Symbol.dispose]();
    membership.set([]);
    assert.equal(seen.length, 3);
  });

  it("ownership acts on its own join at once, and on a change of the others right after it", async () => {
    const membership = new TestMembership(undefined, [member("a")]);
    const ownership = ownershipOf(membership);
    const group = NAMES.find((name) => ownersOf(name, [SELF, member("a")], 1)[0]?.name === "a") ?? "";
    assert.equal(ownership.redirectTarget(group, 1, undefined), undefined, "it serves every watch before");
    await membership.join(SELF);
    assert.equal(ownership.redirectTarget(group, 1, undefined)?.name, "a");
    membership.set([]);
    assert.equal(ownership.redirectTarget(group, 1, undefined), undefined);
    assert.equal(ownership.version, 2);
  });

  it("ownership says whether a larger spread means more shards: not with redirects off, nor when every shard that is well serves the group", () => {
    const others = [member("a"), { ...member("b"), impaired: true } as const];
    const ownership = ownershipOf(new TestMembership(SELF, others));
    assert.deepEqual(
      [0, 1, 2, 3].map((spread) => ownership.canSpread(spread)),
      [true, true, false, false],
    );
    assert.equal(ownershipOf(new TestMembership(SELF, others), { redirect: false }).canSpread(1), false);
  });
});
