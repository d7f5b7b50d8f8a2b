import type { Member, Membership } from "../../common/membership/membership.ts";

/** A membership that a test changes; this shard has joined from the start. */
export class TestMembership implements Membership {
  readonly alone = false;
  readonly reachable = true;
  readonly lost = new AbortController().signal;
  #self: Member | undefined;
  #others: readonly Member[];
  readonly #listeners = new Set<(members: readonly Member[]) => void>();

  constructor(self: Member | undefined, others: readonly Member[] = []) {
    this.#self = self;
    this.#others = others;
  }

  get self(): Member | undefined {
    return this.#self;
  }

  members(): readonly Member[] {
    return this.#self === undefined ? this.#others : [this.#self, ...this.#others];
  }

  set(others: readonly Member[]): void {
    this.#others = others;
    this.#changed();
  }

  async join(self: Member): Promise<void> {
    this.#self = self;
    this.#changed();
  }

  async leave(): Promise<void> {
    this.#self = undefined;
    this.#changed();
  }

  setImpaired(impaired: boolean): void {
    if (this.#self === undefined || (this.#self.impaired ?? false) === impaired) return;
    const { name, address, boot } = this.#self;
    this.#self = impaired ? { name, address, boot, impaired } : { name, address, boot };
    this.#changed();
  }

  #changed(): void {
    for (const listener of this.#listeners) listener(this.members());
  }

  onChange(listener: (members: readonly Member[]) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
