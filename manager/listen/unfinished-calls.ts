/**
 * Ends calls that hold memory: whose request is not complete in time, whose answer nobody reads, or that hold more than
 * their connection, or all, may.
 *
 * Each stream of HTTP/2 is seen when it starts (`watchStarts`). Where that fails nothing is ended.
 *
 * U1: only streams of this server's own connections are looked at.
 * U2: a stream of answers whose request is complete, or whose answers have begun, is not looked at any more: it may be quiet for months, and the watch has
 *     limits of its own. Of one that was refused the request is still to end in time.
 * U3: all bytes that open calls hold count, headers and small requests included, for the connection and in all. Without a
 *     login a connection may hold 256 KiB; above that its calls are paused until their Authorization is checked. When all
 *     calls together hold too much, the largest call of the login that holds most is ended, counted over all its
 *     connections; calls without a known login count by connection.
 * U4: there is no timer per call: one loop looks at those that are open, which are few, or new.
 */
import { constants } from "node:http2";
import type { Clock } from "../../common/clock/clock.ts";
import { isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import { type Link, LinkedList } from "../../common/linked-list.ts";
import { BODY_BEFORE_LOGIN, RequestBudget } from "../../common/listen/request-budget.ts";
import { SideNotes } from "../../common/side-notes.ts";
import { shown } from "../../common/text/wording.ts";
import { type Headers, isRequestComplete, refuseStream, type CallStream as Stream, watchStarts } from "../rpc/call-stream.ts";
import { letGoOfListeners } from "../rpc/finished-call.ts";
import { peerOf } from "./connections.ts";

const { NGHTTP2_ENHANCE_YOUR_CALM } = constants;

/** How long a request may take to be complete, and an answer to be read. Milliseconds. */
export const REQUEST_MS = 60_000;

/**
 * Bytes that the open calls of one connection may hold before a login, and after one. A gateway's connection has
 * callers of its own: all that there is.
 */
export const CONNECTION_BYTES = { beforeLogin: 256 * 1024, loggedIn: 64 * 1024 * 1024 } as const;

/** Bytes that an open call holds besides its headers and its request. */
const CALL_BYTES = 1024;

const LOOK_EVERY_MS = 2500;

/** Headers whose values grpc-js repeats in its refusals. */
const REPEATED = [":path", "grpc-timeout", "grpc-encoding"] as const;

/** The bytes held by the open calls of one connection. */
type Connection = {
  readonly peer: string;
  /** Open calls. */
  calls: number;
  held: number;
  /** `part`: a gateway's, or another part's. */
  login: "none" | "caller" | "part";
  /** The first Authorization of it that was found valid here. */
  validAs: unknown;
};

/** A login, or a connection without one: as itself, since a text of its peer would be made at every report. */
type PayerKey = string | Connection;

/** The party whose calls are counted together where all hold too much. */
type Payer = { readonly key: PayerKey; readonly isPart: boolean; readonly calls: Set<Open>; held: number };

type Open = {
  readonly stream: Stream;
  /** undefined: it is not looked at any more. */
  link: Link<Open> | undefined;
  readonly since: number;
  /** A stream of answers follows the request. */
  readonly streaming: boolean;
  readonly connection: Connection;
  payer: Payer;
  /** Until the login is checked, or the request complete. */
  readonly headers: Headers;
  login: "unchecked" | "checking" | "valid";
  /** Whether it is paused for its login. */
  paused: boolean;
  /** Bytes of the request, and of all that the call holds. */
  body: number;
  held: number;
  /** Since when the answer is complete, and waits for its reader. */
  answered: number | undefined;
};

/** The checks of a connection's calls: whether they are of another part of the cluster; and whether one has a valid login. */
export type CallLogins = Readonly<{
  isPart: (headers: Headers) => boolean;
  /** Rejects with, or throws, the NebulaError that the call itself would have been refused with. */
  check: (headers: Headers, peer: string) => unknown;
}>;

export type UnfinishedCallsOptions = Readonly<{
  /** Whether a connection is one of this server's (U1). */
  isOwn: (peer: string) => boolean;
  /** Paths of the methods that answer with streams (U2). */
  streaming: ReadonlySet<string>;
  logins: CallLogins;
  clock: Clock;
  budget?: RequestBudget;
  connectionBytes?: Readonly<{ beforeLogin: number; loggedIn: number }>;
}>;

export class UnfinishedCalls implements Disposable {
  readonly #options: UnfinishedCallsOptions;
  readonly #budget: RequestBudget;
  readonly #open = new LinkedList<Open>();
  /** Those of #open by their streams. */
  readonly #calls = new SideNotes<Stream, Open | undefined>("open call");
  /** Those with open calls. */
  readonly #connections = new Map<string, Connection>();
  readonly #payers = new Map<PayerKey, Payer>();
  readonly #starts: Disposable;
  /** One listener for all streams, of each sort. */
  readonly #onClose: (this: Stream) => void;
  readonly #onData: (this: Stream, chunk: Uint8Array) => void;

  constructor(options: UnfinishedCallsOptions) {
    this.#options = options;
    this.#budget = options.budget ?? new RequestBudget();
    const calls = this.#calls;
    const forget = (call: Open) => this.#forget(call);
    this.#onClose = function () {
      const call = calls.get(this);
      if (call !== undefined) forget(call);
      letGoOfListeners(this);
    };
    const arrived = (call: Open, bytes: number) => this.#arrived(call, bytes);
    this.#onData = function (chunk) {
      const call = calls.get(this);
      if (call !== undefined) arrived(call, chunk.length);
    };
    this.#starts = watchStarts((stream, headers) => this.#add(stream, headers));
  }

  /** Calls that are looked at. */
  get size(): number {
    return this.#open.size;
  }

  /** Bytes that they hold. */
  get held(): number {
    return this.#budget.held;
  }

  /** A call of this connection had a valid login. @param peer address:port, as a gRPC call's getPeer() says it */
  loggedIn(peer: string): void {
    const connection = this.#connections.get(peer);
    if (connection?.login === "none") this.#logIn(connection, "caller");
  }

  /** Until the signal is aborted. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#options.clock.sleep(LOOK_EVERY_MS, signal).catch(() => {});
      if (!signal.aborted) this.endLate();
    }
  }

  /** Ends those whose time is up. */
  endLate(): void {
    const now = this.#options.clock.monotonic();
    for (const call of this.#open) {
      const { stream } = call;
      if (call.streaming && stream.headersSent && !stream.writableEnded) this.#forget(call);
      else if (!isRequestComplete(stream)) {
        if (now - call.since >= REQUEST_MS) stream.close(NGHTTP2_ENHANCE_YOUR_CALM);
      } else if (call.streaming) this.#forget(call);
      else if (stream.writableEnded) {
        call.answered ??= now;
        if (now - call.answered >= REQUEST_MS) stream.close(NGHTTP2_ENHANCE_YOUR_CALM);
      }
    }
  }

  #add(stream: Stream, headers: Record<string, unknown>): void {
    const socket = stream.session?.socket;
    if (socket === undefined) return;
    const peer = peerOf(socket);
    if (!this.#options.isOwn(peer)) return; // U1
    const streaming = this.#options.streaming.has(String(headers[":path"]));
    for (const name of REPEATED) if (typeof headers[name] === "string") headers[name] = shown(headers[name]);
    const connection = this.#connectionOf(peer, headers);
    const since = this.#options.clock.monotonic();
    const payer = this.#payerOf(connection, headers, false);
    const call: Open = {
      stream,
      since,
      streaming,
      connection,
      payer,
      headers,
      login: "unchecked",
      paused: false,
      body: 0,
      held: 0,
      answered: undefined,
      link: undefined,
    };
    this.#calls.set(stream, call);
    call.link = this.#open.add(call);
    connection.calls++;
    payer.calls.add(call);
    stream.on("close", this.#onClose);
    stream.on("data", this.#onData); // gRPC, which comes next, decides when it flows
    this.#hold(call, CALL_BYTES + sizeOf(headers));
  }

  #connectionOf(peer: string, headers: Headers): Connection {
    const known = this.#connections.get(peer);
    const connection: Connection = known ?? { peer, calls: 0, held: 0, login: "none", validAs: undefined };
    if (known === undefined) this.#connections.set(peer, connection);
    if (connection.login !== "part" && this.#options.logins.isPart(headers)) this.#logIn(connection, "part");
    return connection;
  }

  /** A gateway has checked the logins of its callers, or passes little of them on. */
  #payerOf(connection: Connection, headers: Headers, isValid: boolean): Payer {
    const { peer, login, validAs } = connection;
    const isPart = login === "part";
    const authorization = isValid || isPart ? headers.authorization : validAs;
    const ofLogin = typeof authorization === "string" ? `login ${authorization}` : undefined;
    const key = isPart ? `part ${ofLogin ?? peer}` : (ofLogin ?? connection);
    const known = this.#payers.get(key);
    if (known !== undefined) return known;
    const payer: Payer = { key, isPart, calls: new Set(), held: 0 };
    this.#payers.set(key, payer);
    return payer;
  }

  #leavePayer(call: Open): void {
    const { payer } = call;
    payer.calls.delete(call);
    payer.held -= call.held;
    if (payer.calls.size === 0) this.#payers.delete(payer.key);
  }

  #logIn(connection: Connection, login: "caller" | "part"): void {
    if (connection.login === "none") this.#budget.loggedIn(connection.held);
    connection.login = login;
  }

  #arrived(call: Open, bytes: number): void {
    call.body += bytes;
    this.#hold(call, bytes);
    if (call.login !== "checking") return;
    call.paused = true;
    call.stream.pause();
  }

  #hold(call: Open, bytes: number): void {
    const { connection } = call;
    call.held += bytes;
    connection.held += bytes;
    call.payer.held += bytes;
    this.#budget.add(bytes, connection.login !== "none");
    if (call.login === "unchecked" && this.#needsLogin(call)) this.#check(call);
    else this.#keepWithin(call);
  }

  #needsLogin({ body, connection }: Open): boolean {
    if (body > BODY_BEFORE_LOGIN) return true;
    return connection.login === "none" && (connection.held > this.#limits.beforeLogin || this.#budget.needsLogin);
  }

  get #limits(): Readonly<{ beforeLogin: number; loggedIn: number }> {
    return this.#options.connectionBytes ?? CONNECTION_BYTES;
  }

  /** Has a call wait until its login is checked: nothing more of it is read meanwhile. */
  #check(call: Open): void {
    call.login = "checking";
    const { stream, connection, headers } = call;
    const checked = async () => this.#options.logins.check(headers, connection.peer);
    checked().then(
      () => {
        call.login = "valid";
        if (connection.login === "none") this.#logIn(connection, "caller");
        connection.validAs ??= headers.authorization;
        if (call.link === undefined) return;
        this.#leavePayer(call);
        call.payer = this.#payerOf(connection, headers, true);
        call.payer.calls.add(call);
        call.payer.held += call.held;
        this.#keepWithin(call);
        if (call.paused && !stream.destroyed) stream.resume();
      },
      (error: unknown) =>
        this.#refuse(call, isNebulaError(error) ? error : new NebulaError("unavailable", "the login cannot be checked: call again")),
    );
  }

  /** Ends calls where more is held than may be. */
  #keepWithin(call: Open): void {
    const { connection } = call;
    if (connection.login === "caller" && connection.held > this.#limits.loggedIn) this.#refuse(call, TOO_MUCH);
    while (this.#budget.isFull) {
      const largest = this.#largest();
      if (largest === undefined) return;
      this.#refuse(largest, TOO_MUCH);
    }
  }

  /** The largest call of the payer who holds most; a gateway's, which has a bound of its own, only where there is no other. */
  #largest(): Open | undefined {
    let most: Payer | undefined;
    for (const payer of this.#payers.values()) {
      if (most === undefined || (payer.isPart === most.isPart ? payer.held > most.held : most.isPart)) most = payer;
    }
    let largest: Open | undefined;
    for (const call of most?.calls ?? []) if (largest === undefined || call.held > largest.held) largest = call;
    return largest;
  }

  #refuse(call: Open, error: NebulaError): void {
    if (call.link !== undefined) this.#forget(call);
    refuseStream(call.stream, error);
  }

  #forget(call: Open): void {
    const { stream, link, connection, held } = call;
    stream.off("close", this.#onClose);
    stream.off("data", this.#onData);
    this.#calls.set(stream, undefined);
    if (link !== undefined) this.#open.remove(link);
    call.link = undefined;
    this.#leavePayer(call);
    this.#budget.release(held, connection.login !== "none");
    connection.held -= held;
    if (--connection.calls === 0) this.#connections.delete(connection.peer);
  }

  [Symbol.dispose](): void {
    this.#starts[Symbol.dispose]();
    for (const call of this.#open) call.link = undefined;
    this.#open.clear();
    this.#connections.clear();
    this.#payers.clear();
  }
}

const TOO_MUCH = new NebulaError("resource_exhausted", "the requests under way hold too much memory: send it again in a moment, or fewer at once", {
  retryAfterMs: 1000,
});

/** About what headers hold, bytes. */
function sizeOf(headers: Headers): number {
  let bytes = 0;
  for (const name in headers) bytes += name.length + String(headers[name]).length;
  return bytes;
}
