import type { Member, Membership } from "../../common/membership/membership.ts";

/** A membership that a test changes. */
export class TestMembership implements Membership {
  readonly self: Member;
  #members: readonly Member[];
  readonly #listeners = new Set<(members: readonly Member[]) => void>();

  constructor(self: Member, others: readonly Member[] = []) {
    this.self = self;
    this.#members = [self, ...others];
  }

  members(): readonly Member[] {
    return this.#members;
  }

  set(others: readonly Member[]): void {
    this.#members = [this.self, ...others];
    for (const listener of this.#listeners) listener(this.#members);
  }

  onChange(listener: (members: readonly Member[]) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
