import { NebulaError } from "../errors/nebula-error.ts";
import type { Member, Membership } from "./membership.ts";

/** The membership of a single process, which is its only member. */
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
    reachable: true,
    lost: new AbortController().signal,
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
    setImpaired(impaired) {
      if (self === undefined || (self.impaired ?? false) === impaired) return;
      const { name, address, boot } = self;
      change(impaired ? { name, address, boot, impaired } : { name, address, boot });
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
