import { strict as assert } from "node:assert";
import { describeMembership } from "./membership-contract.ts";
import { createMemoryMembership } from "./memory-membership.ts";

describeMembership("memory", async () => createMemoryMembership());

describe("the membership of a process that is alone", () => {
  it("the membership of a single process is empty before the join, and this process alone after it", async () => {
    const membership = createMemoryMembership();
    assert.equal(membership.alone, true);
    assert.deepEqual(membership.members(), []);
    const self = { name: "a", address: "127.0.0.1:50051", boot: "boot-1" };
    await membership.join(self);
    assert.deepEqual(membership.members(), [self]);
  });
});
