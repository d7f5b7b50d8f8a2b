import type { Login } from "./login.ts";

/**
 * Credentials that were found valid, by the digest of their header.
 *
 * V1 at most `limit` are kept; the one that was used longest ago goes first.
 * V2 only what was verified is kept, so guesses cannot push it out.
 * V3 a credential that was forgotten because rights changed is still known to have been valid: nobody else's failed logins hold it up, and no password is
 *    hashed to find out what it stands for now. So whoever changes access often, as a device that exchanges its token does, costs the others reads alone.
 */
export class VerifiedCredentials {
  readonly #limit: number;
  readonly #logins = new Map<string, Login>();
  /** Those that were forgotten by `forgetAll`, oldest first, at most `limit`. */
  readonly #before = new Map<string, Login>();

  /** @param limit how many are kept */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get(id: string): Login | undefined {
    const login = this.#logins.get(id);
    if (login !== undefined) {
      this.#logins.delete(id); // a Map keeps the order of insertion: the first is the one used longest ago
      this.#logins.set(id, login);
    }
    return login;
  }

  add(login: Login): void {
    this.#before.delete(login.id);
    this.#logins.set(login.id, login);
    if (this.#logins.size <= this.#limit) return;
    for (const oldest of this.#logins.keys()) {
      this.#logins.delete(oldest); // V1
      return;
    }
  }

  /** What it stood for when all was forgotten; undefined: it was not known then, or was found invalid since. */
  before(id: string): Login | undefined {
    return this.#before.get(id);
  }

  /** It was found invalid. */
  refuse(id: string): void {
    this.#logins.delete(id);
    this.#before.delete(id);
  }

  /** Every credential has to be looked up again. */
  forgetAll(): void {
    for (const [id, login] of this.#logins) this.#before.set(id, login); // V3
    this.#logins.clear();
    for (const oldest of this.#before.keys()) {
      if (this.#before.size <= this.#limit) return; // V1
      this.#before.delete(oldest);
    }
  }

  get size(): number {
    return this.#logins.size;
  }
}
