import type { Principal } from "../rpc/call-context.ts";

/**
 * Credentials that were found valid, by the digest of their header.
 *
 * V1 at most `limit` are kept; the one that was used longest ago goes first.
 * V2 only what was verified is kept, so guesses cannot push it out.
 */
export class VerifiedCredentials {
  readonly #limit: number;
  readonly #byDigest = new Map<string, Principal>();

  /** @param limit how many are kept */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get(digest: string): Principal | undefined {
    const principal = this.#byDigest.get(digest);
    if (principal !== undefined) {
      this.#byDigest.delete(digest); // a Map keeps the order of insertion: the first is the one used longest ago
      this.#byDigest.set(digest, principal);
    }
    return principal;
  }

  add(digest: string, principal: Principal): void {
    this.#byDigest.set(digest, principal);
    if (this.#byDigest.size <= this.#limit) return;
    for (const oldest of this.#byDigest.keys()) {
      this.#byDigest.delete(oldest); // V1
      return;
    }
  }

  get size(): number {
    return this.#byDigest.size;
  }
}
