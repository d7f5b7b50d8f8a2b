import type { Member, Membership } from "./membership.ts";

/** The membership of a process that is alone: itself. */
export function createMemoryMembership(self: Member): Membership {
  const members: readonly Member[] = [self];
  return {
    self,
    members: () => members,
    onChange: () => ({ [Symbol.dispose]: () => {} }),
    async [Symbol.asyncDispose]() {},
  };
}
