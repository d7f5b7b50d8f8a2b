import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { isNebulaError } from "../errors/nebula-error.ts";
import { eventually } from "../testing/eventually.ts";
import type { Member, Membership } from "./membership.ts";

/** The promises of every Membership. `open` yields the membership of one process, which has not joined; names are fresh, so one backend serves all tests. */
export function describeMembership(driver: string, open: () => Promise<Membership>): void {
  describe(`Membership: ${driver}`, () => {
    let membership: Membership;
    beforeEach(async () => {
      membership = await open();
    });
    afterEach(async () => {
      await membership[Symbol.asyncDispose]();
    });
    const fresh = (): Member => {
      const boot = randomBytes(6).toString("hex");
      return { name: `shard-${boot}`, address: "127.0.0.1:50051", boot };
    };
    const listed = ({ boot }: Member) => membership.members().filter((member) => member.boot === boot);

    it("the membership does not count a process that only reads it", () => {
      assert.equal(membership.self, undefined);
      assert.deepEqual(
        membership.members().filter(({ name }) => name === ""),
        [],
      );
    });

    it("the membership counts this process among the members from its join to its leave, once", async () => {
      const self = fresh();
      await membership.join(self);
      assert.deepEqual(membership.self, self);
      assert.deepEqual(listed(self), [self]);
      await membership.leave();
      assert.equal(membership.self, undefined);
      assert.deepEqual(listed(self), []);
    });

    it("the membership refuses a second join, and accepts a leave without a join", async () => {
      await membership.leave();
      const self = fresh();
      await membership.join(self);
      await assert.rejects(membership.join(fresh()), (error) => isNebulaError(error, "failed_precondition"));
      assert.deepEqual(membership.self, self);
    });

    it("the membership notifies when this member becomes impaired and when it is well again, once each", async () => {
      const self = fresh();
      membership.setImpaired(true);
      assert.equal(membership.self, undefined);
      await membership.join(self);
      const seen: (boolean | undefined)[] = [];
      membership.onChange(() => {
        const [member] = listed(self);
        if (member !== undefined && seen.at(-1) !== (member.impaired ?? false)) seen.push(member.impaired ?? false);
      });
      for (const impaired of [true, true, false, false]) {
        membership.setImpaired(impaired);
        await eventually(() => (listed(self)[0]?.impaired ?? false) === impaired);
        assert.deepEqual(membership.self, listed(self)[0]);
      }
      await eventually(() => seen.length >= 2);
      assert.deepEqual(seen, [true, false]);
      assert.deepEqual(listed(self), [self]);
    });

    it("the membership lists the members by name", async () => {
      await membership.join(fresh());
      const names = membership.members().map(({ name }) => name);
      assert.deepEqual(names, [...names].sort());
    });

    it("the membership notifies of a join and of a leave, and not a subscription that has ended", async () => {
      const seen: number[] = [];
      const self = fresh();
      const ended = membership.onChange(() => assert.fail("this subscription has ended"));
      ended[Symbol.dispose]();
      ended[Symbol.dispose]();
      membership.onChange(() => seen.push(listed(self).length));
      await membership.join(self);
      await eventually(() => seen.at(-1) === 1);
      await membership.leave();
      await eventually(() => seen.at(-1) === 0);
    });
  });
}
