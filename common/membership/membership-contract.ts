import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { isNebulaError } from "../errors/nebula-error.ts";
import { eventually } from "../testing/eventually.ts";
import type { Member, Membership } from "./membership.ts";

/** What every Membership promises. `open` yields the membership of one process, which has not joined; names are fresh, so one backend serves all tests. */
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

    it("does not count a process that only reads it", () => {
      assert.equal(membership.self, undefined);
      assert.deepEqual(
        membership.members().filter(({ name }) => name === ""),
        [],
      );
    });

    it("counts this process among the members from its join to its leave, once", async () => {
      const self = fresh();
      await membership.join(self);
      assert.deepEqual(membership.self, self);
      assert.deepEqual(listed(self), [self]);
      await membership.leave();
      assert.equal(membership.self, undefined);
      assert.deepEqual(listed(self), []);
    });

    it("refuses a second join, and takes a leave without a join", async () => {
      await membership.leave();
      const self = fresh();
      await membership.join(self);
      await assert.rejects(membership.join(fresh()), (error) => isNebulaError(error, "failed_precondition"));
      assert.deepEqual(membership.self, self);
    });

    it("lists the members by name", async () => {
      await membership.join(fresh());
      const names = membership.members().map(({ name }) => name);
      assert.deepEqual(names, [...names].sort());
    });

    it("notifies of a join and of a leave, and no subscription that has ended", async () => {
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
