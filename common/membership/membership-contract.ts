import { strict as assert } from "node:assert";
import type { Membership } from "./membership.ts";

/** What every Membership promises. `open` yields the membership of one process. */
export function describeMembership(driver: string, open: () => Promise<Membership>): void {
  describe(`Membership: ${driver}`, () => {
    let membership: Membership;
    beforeEach(async () => {
      membership = await open();
    });
    afterEach(async () => {
      await membership[Symbol.asyncDispose]();
    });

    it("counts itself among the members, once", () => {
      const own = membership.members().filter(({ boot }) => boot === membership.self.boot);
      assert.deepEqual(own, [membership.self]);
    });

    it("lists the members by address", () => {
      const addresses = membership.members().map(({ address }) => address);
      assert.deepEqual(addresses, [...addresses].sort());
    });

    it("ends a subscription, also twice", () => {
      const subscription = membership.onChange(() => assert.fail("nothing changed"));
      subscription[Symbol.dispose]();
      subscription[Symbol.dispose]();
    });
  });
}
