/**
 * The bodies of requests: how large one may be, what all of them hold, and whose are read.
 *
 * B1 A byte counts when it has arrived; a length that is announced holds nothing.
 * B2 Above BODY_BEFORE_LOGIN a body is read on only after a manager has checked its Authorization; the same holds for
 *    each body where those without a login hold all that they may together, unless its route has a small bound for it:
 *    a login has no Authorization yet. The bodies of one Authorization that was checked hold LOGIN_BYTES at most, so one
 *    caller does not keep the others out. Where all together hold too much, the Authorization that holds most loses its
 *    largest body that is still on its way; one that holds SMALL_BYTES at most is let in all the same.
 * B3 A body that is refused is dropped, not held, while the rest of it arrives: a caller that sends all before it reads
 *    does not see the answer otherwise.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Code, ConnectError } from "@connectrpc/connect";
import { invalidArgument, NebulaError } from "../../common/errors/nebula-error.ts";
import { BODY_BEFORE_LOGIN, RequestBudget, SMALL_BYTES } from "../../common/listen/request-budget.ts";
import type { Caller, RequestBody } from "./exchange.ts";
import { HTTP_LIMITS } from "./http-server.ts";

/** The largest request body, bytes. */
const BODY_LIMIT = HTTP_LIMITS.bodyBytes;

/** The most that is read, and dropped, of a larger body, bytes. */
const DROPPED_LIMIT = 4 * BODY_LIMIT;

/** The most that the bodies of one checked Authorization may hold together, bytes. */
export const LOGIN_BYTES = 64 * 1024 * 1024;

/** Flags (1 byte) and length (4) before each message of a stream, and of gRPC. */
export const ENVELOPE_BYTES = 5;

const RETRY_MS = 1000;

/** The request whose body is read. */
export type BodyOf = Readonly<{ request: IncomingMessage; response: ServerResponse; caller: Caller; path: string }>;

/** Resolves where the Authorization of a request is valid. Rejects with a NebulaError as the call itself. */
export type CheckLogin = (of: BodyOf, signal: AbortSignal) => Promise<void>;

/** Reads bodies within what all of them may hold. */
export class RequestBodies {
  readonly #checkLogin: CheckLogin;
  readonly #budget: RequestBudget;
  readonly #loginBytes: number;
  /** The bytes that the bodies of each checked Authorization hold. */
  readonly #byLogin = new Map<string, number>();
  /** Those that are still on their way. */
  readonly #arriving = new Set<Account>();

  constructor(checkLogin: CheckLogin, budget = new RequestBudget(), loginBytes = LOGIN_BYTES) {
    this.#checkLogin = checkLogin;
    this.#budget = budget;
    this.#loginBytes = loginBytes;
  }

  /** Bytes of the bodies of all requests that are not answered yet. */
  get held(): number {
    return this.#budget.held;
  }

  of(of: BodyOf): RequestBody {
    return { read: () => this.#read(of), readSmall: (most) => this.#read(of, most), drop: () => drop(of.request) };
  }

  async #read(of: BodyOf, most?: number): Promise<Uint8Array> {
    const { request } = of;
    assertAnnounced(request);
    using account = new Account(of, this.#budget, this.#byLogin);
    this.#arriving.add(account);
    try {
      // The stream is left open, for a destroyed one takes the connection along, and the answer with it.
      for await (const chunk of request.iterator({ destroyOnReturn: false })) {
        if (!(chunk instanceof Uint8Array)) continue;
        account.add(chunk); // B1
        if (most !== undefined && account.length > most) throw tooLong(most);
        if (account.isOut) break;
        if (account.length > DROPPED_LIMIT) break;
        if (most === undefined && account.needsLogin) {
          await this.#checkLogin(of, account.gone); // B2
          account.loggedIn();
        }
        if (account.heldByLogin > this.#loginBytes) throw loginHoldsTooMuch(); // B2
        if (this.#budget.isFull) this.#makeRoomFor(account); // B2
      }
      if (account.isOut) throw allHoldTooMuch();
      return account.whole();
    } catch (error) {
      account.clear();
      request.resume(); // B3
      throw error;
    } finally {
      this.#arriving.delete(account);
    }
  }

  /** Removes bodies of callers who hold more. Throws if no caller does, and this one's holds more than a small share. */
  #makeRoomFor(account: Account): void {
    while (this.#budget.isFull) {
      const largest = this.#largestArriving();
      if (largest === undefined || largest.heldByCaller <= account.heldByCaller) break;
      largest.putOut();
    }
    const isSmall = account.heldByCaller <= SMALL_BYTES && !this.#budget.isFullForSmall;
    if (this.#budget.isFull && !isSmall) throw allHoldTooMuch();
  }

  /** The largest body on its way of the caller who holds most. */
  #largestArriving(): Account | undefined {
    const larger = (a: Account, b: Account) => (b.heldByCaller - a.heldByCaller || b.held - a.held) > 0;
    let largest: Account | undefined;
    for (const account of this.#arriving) if (account.held > 0 && (largest === undefined || larger(largest, account))) largest = account;
    return largest;
  }
}

/** The bytes that one body holds until its request is answered. */
class Account implements Disposable {
  readonly #budget: RequestBudget;
  readonly #byLogin: Map<string, number>;
  readonly #authorization: string;
  readonly #gone = new AbortController();
  readonly #response: ServerResponse;
  readonly #onClose = () => {
    this.#gone.abort();
    this.clear();
  };
  readonly #chunks: Uint8Array[] = [];
  held = 0;
  /** Whether the body is dropped, for others to have room. */
  isOut = false;
  #loggedIn = false;
  length = 0;

  constructor({ request, response }: BodyOf, budget: RequestBudget, byLogin: Map<string, number>) {
    this.#budget = budget;
    this.#byLogin = byLogin;
    this.#authorization = request.headers.authorization ?? "";
    this.#response = response;
    response.once("close", this.#onClose);
  }

  /** Aborted when the caller has gone. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  add(chunk: Uint8Array): void {
    this.length += chunk.length;
    if (this.isOut) return;
    if (this.length > BODY_LIMIT + ENVELOPE_BYTES) {
      this.clear();
      return;
    }
    this.#chunks.push(chunk);
    this.#hold(chunk.length);
  }

  #hold(bytes: number): void {
    this.held += bytes;
    this.#budget.add(bytes, this.#loggedIn);
    if (this.#loggedIn) this.#holdByLogin(bytes);
  }

  #holdByLogin(bytes: number): void {
    const held = this.heldByLogin + bytes;
    if (held > 0) this.#byLogin.set(this.#authorization, held);
    else this.#byLogin.delete(this.#authorization);
  }

  /** The bytes that all bodies of the Authorization hold, once it is checked. */
  get heldByLogin(): number {
    return this.#loggedIn ? (this.#byLogin.get(this.#authorization) ?? 0) : 0;
  }

  /** The bytes that the caller holds, as far as the caller is known. */
  get heldByCaller(): number {
    return this.#loggedIn ? this.heldByLogin : this.held;
  }

  get needsLogin(): boolean {
    return !this.#loggedIn && (this.length > BODY_BEFORE_LOGIN || this.#budget.needsLogin || this.#budget.isFull);
  }

  loggedIn(): void {
    this.#loggedIn = true;
    this.#budget.loggedIn(this.held);
    this.#holdByLogin(this.held);
  }

  whole(): Uint8Array {
    if (this.length > BODY_LIMIT + ENVELOPE_BYTES) throw tooLarge();
    return Buffer.concat(this.#chunks.splice(0), this.length);
  }

  /** Holds nothing any more. */
  clear(): void {
    this.#chunks.length = 0;
    this.#hold(-this.held);
  }

  putOut(): void {
    this.isOut = true;
    this.clear();
  }

  /** The body is read: it counts until the answer is out, and nobody waits for its login. */
  [Symbol.dispose](): void {
    if (this.#response.destroyed) this.clear();
  }
}

async function drop(request: IncomingMessage): Promise<void> {
  assertAnnounced(request);
  let length = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    if (chunk instanceof Uint8Array) length += chunk.length;
    if (length > DROPPED_LIMIT) break;
  }
  if (length <= BODY_LIMIT) return;
  request.resume();
  throw tooLarge();
}

function assertAnnounced({ headers }: IncomingMessage): void {
  if (Number(headers["content-length"] ?? 0) > DROPPED_LIMIT) throw tooLarge();
}

function tooLong(most: number): NebulaError {
  return invalidArgument([{ field: "body", description: `has more than ${most} bytes; use at most ${most}` }]);
}

function allHoldTooMuch(): NebulaError {
  return new NebulaError("unavailable", "the requests under way hold too much: send it again in a moment", { retryAfterMs: RETRY_MS });
}

function loginHoldsTooMuch(): NebulaError {
  const message = "the requests of this login that are under way hold too much: send it again in a moment, or fewer at once";
  return new NebulaError("resource_exhausted", message, { retryAfterMs: RETRY_MS });
}

function tooLarge(): ConnectError {
  return new ConnectError(`the request's body is larger than ${BODY_LIMIT} bytes (4 MiB): send less at once`, Code.ResourceExhausted);
}
