import { NebulaError } from "../errors/nebula-error.ts";
import type { Member, Membership } from "./membership.ts";

/** The membership of a process that is alone: it knows itself. */
export function createMemoryMembership(): Membership {
  let self: Member | undefined;
  const listeners = new Set<(members: readonly Member[]) => void>();
  const members = (): readonly Member[] => (self === undefined ? [] : [self]);
  const change = (next: Member | undefined) => {
    if (next === self) return;
    self = next;
    for (const listener of listeners) listener(members());
  };
  return {
    alone: true,
    get self() {
      return self;
    },
    members,
    async join(member) {
      if (self !== undefined) throw new NebulaError("failed_precondition", `shard "${self.name}" has joined already`);
      change(member);
    },
    async leave() {
      change(undefined);
    },
    onChange(listener) {
      const own: typeof listener = (now) => listener(now); // one subscription each, also of the same function
      listeners.add(own);
      return { [Symbol.dispose]: () => void listeners.delete(own) };
    },
    async [Symbol.asyncDispose]() {
      change(undefined);
      listeners.clear();
    },
  };
}
