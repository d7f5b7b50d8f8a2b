import { strict as assert } from "node:assert";
import { describeMembership } from "./membership-contract.ts";
import { createMemoryMembership } from "./memory-membership.ts";

const self = { address: "127.0.0.1:50051", boot: "boot-1" };

describeMembership("memory", async () => createMemoryMembership(self));

describe("the membership of a process that is alone", () => {
  it("is itself", () => {
    assert.deepEqual(createMemoryMembership(self).members(), [self]);
  });
});
