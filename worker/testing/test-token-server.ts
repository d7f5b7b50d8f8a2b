import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { TokenServer } from "../login/token-server.ts";

/** A server that knows one device's tokens, as the real one does; for tests only. `interfere` runs before and after every call takes effect. */
export class TestTokenServer implements TokenServer {
  usesLeft = 1;
  deviceGroup = "shop";
  inUse: string | undefined;
  next: string | undefined;
  /** Every call, by name and secret. */
  readonly calls: string[] = [];
  interfere: (when: "before" | "after") => void = () => {};

  accepts(token: string | undefined): boolean {
    return token !== undefined && (token === this.inUse || token === this.next);
  }

  revoke(): void {
    this.inUse = undefined;
    this.next = undefined;
  }

  async enroll(enrolToken: string, _deviceId: string, secret: string): Promise<string> {
    return this.#call(`enroll ${secret}`, () => {
      if (enrolToken !== "enrol") throw new NebulaError("unauthenticated", "no such enrolment token");
      if (this.accepts(secret)) return this.deviceGroup;
      if (this.inUse !== undefined) throw new NebulaError("already_exists", "the device has another token");
      if (this.usesLeft === 0) throw new NebulaError("permission_denied", "the enrolment token is used up");
      this.usesLeft--;
      this.inUse = secret;
      return this.deviceGroup;
    });
  }

  async announce(token: string, next: string): Promise<void> {
    this.#call(`announce ${next}`, () => {
      this.#use(token);
      this.next = next;
    });
  }

  async isKnown(token: string): Promise<boolean> {
    return this.#call(`use ${token}`, () => {
      if (!this.accepts(token)) return false;
      this.#use(token);
      return true;
    });
  }

  #use(token: string): void {
    if (!this.accepts(token)) throw new NebulaError("unauthenticated", "no such token");
    if (token !== this.next) return;
    this.inUse = token;
    this.next = undefined;
  }

  #call<T>(what: string, effect: () => T): T {
    this.interfere("before");
    this.calls.push(what);
    const answer = effect();
    this.interfere("after");
    return answer;
  }
}
