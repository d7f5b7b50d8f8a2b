/**
 * Server streams of insight: the one way from grpc-js into every handler that answers a stream. Watches of configs have the hub, which is made for tens of
 * thousands of them.
 *
 * S1 A stream waits for its reader: the handler is asked for a message when the one before was taken, and answers the newest counts. So nothing
 *    queues. A message that is not taken within UNREAD_MS ends the stream.
 * S2 At most MOST_STREAMS are open, and MOST_PER_USER of one caller; one more is refused with `resource_exhausted`.
 * S3 A stream lasts at most LONGEST_MS. The end then, and at a stop, is `unavailable`, which has its client open it again; none opens after a stop.
 *    One that was opened with a session ends with it, with `unauthenticated`.
 * S4 In each generation of access, and when its credential is named, a stream goes through the gate again, and through the check of its handler. A refusal ends
 *    it; while the store can't be read it goes on, and is tried again.
 */
import { create, type DescMessage, type DescMethod, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import type { handleServerStreamingCall, ServerWritableStream } from "@grpc/grpc-js";
import { Counter, Gauge, type Registry } from "prom-client";
import { codeOf } from "../../common/errors/codes.ts";
import { isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import { REQUEST_ID_HEADER, requestIdFrom } from "../../common/rpc/request-id.ts";
import { decoded, pathOf, Undecodable } from "../../common/rpc/service-definition.ts";
import { shown } from "../../common/text/wording.ts";
import type { AccessGenerations } from "../access/access-generations.ts";
import type { Caller, CallHeaders } from "../access/authenticate.ts";
import { nameOf, type Principal } from "../access/principal.ts";
import { isBehind, sessionLeftMs, subjectsOf } from "../access/verified-credentials.ts";
import type { StreamContext } from "./call-context.ts";
import { callHeaders } from "./call-headers.ts";
import { asNebulaError, errorStatus } from "./errors.ts";
import type { RpcDeps } from "./serve-unary.ts";

/** A handler of any server stream. Its request is of the method's input, which the decoder guarantees; hence the bivariant parameter. */
export type AnyStreamHandler = { handle(request: Message, context: StreamContext): AsyncIterable<MessageInitShape<DescMessage>> }["handle"];

/** S2. docs/limits.md names both. */
export const MOST_STREAMS = 200;
export const MOST_PER_USER = 20;
/** S3, milliseconds. */
export const LONGEST_MS = 60 * 60_000;
/** S1, milliseconds. */
export const UNREAD_MS = 60_000;
/** S4: after a look at the credential that failed, milliseconds. */
const RETRY_MS = 1000;

export type ServerStreamsDeps = RpcDeps & Readonly<{ generations: Pick<AccessGenerations, "current" | "listen">; registry: Registry }>;

type Call = ServerWritableStream<unknown, unknown>;
type Check = (principal: Principal) => void;

/** A stream that was let in. */
type OpenStream = {
  readonly method: DescMethod;
  readonly request: Message;
  readonly headers: CallHeaders;
  readonly peer: string;
  readonly ended: AbortController;
  caller: Caller;
  /** The handler's own, S4. */
  check: Check;
  looking: boolean;
  /** Why it was ended from here; undefined: its handler, or the caller, ended it. */
  why: EndReason | undefined;
  /** Whether it is to be looked at again after the look that goes on. */
  again: boolean;
};

/** Why an open stream ended: `done` by its handler, `cancelled` by the caller, `not_allowed` after its rights changed, `no_room` for what it reads. */
const END_REASONS = ["done", "cancelled", "longest", "unread", "stopping", "not_allowed", "no_room", "failed"] as const;
type EndReason = (typeof END_REASONS)[number];

export class ServerStreams {
  readonly #deps: ServerStreamsDeps;
  readonly #ends: Counter<"reason">;
  readonly #refused: Counter;
  readonly #open = new Set<OpenStream>();
  readonly #stopping = new AbortController();

  constructor(deps: ServerStreamsDeps) {
    this.#deps = deps;
    deps.generations.listen({
      named: (subject) => {
        for (const stream of this.#open) if (subjectsOf(stream.caller.login.verified).includes(subject)) void this.#lookAgain(stream);
      },
      began: () => {
        for (const stream of this.#open) void this.#lookAgain(stream);
      },
      sessionsDue: () => {
        for (const stream of this.#open) if (stream.caller.login.verified.source.kind === "session") void this.#lookAgain(stream);
      },
    });
    const open = () => this.#open;
    new Gauge({
      name: "nebula_server_streams",
      help: "Open streams of counts and devices, by method.",
      labelNames: ["method"],
      registers: [deps.registry],
      collect() {
        this.reset();
        for (const { method } of open()) this.inc({ method: pathOf(method) });
      },
    });
    this.#ends = new Counter({
      name: "nebula_server_streams_ended_total",
      help: "Streams of counts and devices that ended, by reason.",
      labelNames: ["reason"],
      registers: [deps.registry],
    });
    for (const reason of END_REASONS) this.#ends.inc({ reason }, 0);
    this.#refused = new Counter({
      name: "nebula_server_streams_refused_total",
      help: "Streams of counts and devices that were refused: too many were open, here or of one caller.",
      registers: [deps.registry],
    });
  }

  /** Open streams. */
  get size(): number {
    return this.#open.size;
  }

  /** Ends all of them (S3). */
  stop(): void {
    this.#stopping.abort();
    for (const stream of this.#open) end(stream, "stopping", stopping());
  }

  /** Returns the function that grpc-js calls for each call of the method. */
  serve(method: DescMethod, handler: AnyStreamHandler): handleServerStreamingCall<unknown, unknown> {
    const { audit, metrics, log } = this.#deps;
    const path = pathOf(method);
    return (call) => {
      const headers = callHeaders(call.metadata);
      const requestId = requestIdFrom(headers.header(REQUEST_ID_HEADER));
      const record = audit.begin(method, { peer: call.getPeer(), requestId });
      const ended = new AbortController();
      call.on("cancelled", () => ended.abort(new NebulaError("cancelled", "the caller went away, or its deadline passed")));

      const answer = async () => {
        const request = decoded(method.input, call.request);
        if (request instanceof Undecodable)
          throw new NebulaError("invalid_argument", `the request is not a valid ${method.input.typeName}: ${request.reason}`);
        record.asked(request);
        const caller = await this.#deps.gate(method, request, headers, call.getPeer(), record.seen, () => ended.signal);
        ended.signal.throwIfAborted();
        this.#assertRoom(caller);
        const stream = {
          method,
          request,
          headers,
          peer: call.getPeer(),
          ended,
          caller,
          check: () => {},
          looking: false,
          why: undefined,
          again: false,
        };
        await this.#run(call, stream, handler, requestId);
      };
      answer().then(
        () => {
          metrics.ended(path, 0);
          call.end();
        },
        async (thrown) => {
          const error = asNebulaError(ended.signal.aborted ? ended.signal.reason : thrown, { method: path, requestId }, log);
          await record.ended(error); // a failed login leaves an entry
          metrics.ended(path, codeOf(error.kind));
          call.emit("error", errorStatus(error));
        },
      );
    };
  }

  #assertRoom({ principal }: Caller): void {
    if (this.#stopping.signal.aborted) throw stopping();
    const name = nameOf(principal);
    let own = 0;
    for (const { caller } of this.#open) if (nameOf(caller.principal) === name) own++;
    if (own < MOST_PER_USER && this.#open.size < MOST_STREAMS) return;
    this.#refused.inc();
    if (own >= MOST_PER_USER)
      throw new NebulaError(
        "resource_exhausted",
        `${shown(name)} has ${own} streams open on this manager, the most that one caller may have; close one`,
      );
    throw new NebulaError("resource_exhausted", `this manager has ${MOST_STREAMS} streams open, its most; call again when others have ended`);
  }

  async #run(call: Call, stream: OpenStream, handler: AnyStreamHandler, requestId: string): Promise<void> {
    const { clock, generations } = this.#deps;
    const { method, request, caller, ended } = stream;
    const { signal } = ended;
    const over = new AbortController();
    const keepAllowed = (check: Check) => {
      stream.check = check;
    };
    this.#open.add(stream);
    const sessionMs = Math.max(0, sessionLeftMs(caller.login.verified, clock.now()) ?? Number.POSITIVE_INFINITY);
    const late = clock.sleep(Math.min(LONGEST_MS, sessionMs), over.signal).then(
      () => {
        if (sessionMs < LONGEST_MS) end(stream, "not_allowed", new NebulaError("unauthenticated", "the session has expired: log in again"));
        else end(stream, "longest", new NebulaError("unavailable", `a stream lasts at most ${LONGEST_MS / 60_000} minutes: open it again`));
      },
      () => {},
    );
    if (isBehind(caller.login, generations.current)) void this.#lookAgain(stream); // S4: access changed while it was let in
    try {
      const messages = handler(request, { principal: caller.principal, signal, peer: caller.peer, requestId, keepAllowed })[Symbol.asyncIterator]();
      try {
        for (;;) {
          const next = await unlessAborted(messages.next(), signal);
          if (next.done === true) {
            stream.why ??= "done";
            return;
          }
          await this.#write(call, create(method.output, next.value), stream);
        }
      } finally {
        Promise.resolve(messages.return?.()).catch(() => {}); // a handler that was left frees what it holds
      }
    } catch (error) {
      stream.why ??= isNebulaError(error, "cancelled") ? "cancelled" : isNebulaError(error, "resource_exhausted") ? "no_room" : "failed";
      throw error;
    } finally {
      this.#open.delete(stream);
      this.#ends.inc({ reason: stream.why ?? "done" });
      over.abort();
      await late;
    }
  }

  /** Resolves when the message was taken (S1): after a cancel grpc-js calls nothing back. */
  async #write(call: Call, message: Message, stream: OpenStream): Promise<void> {
    const over = new AbortController();
    const taken = new Promise<void>((resolve) => call.write(message, () => resolve()));
    const unread = this.#deps.clock.sleep(UNREAD_MS, over.signal).then(
      () => end(stream, "unread", new NebulaError("unavailable", `a message was not read within ${UNREAD_MS / 1000} s: open the stream again`)),
      () => {},
    );
    try {
      await unlessAborted(taken, stream.ended.signal);
    } finally {
      over.abort();
      await unread;
    }
  }

  /** S4 */
  async #lookAgain(stream: OpenStream): Promise<void> {
    stream.again = true;
    if (stream.looking) return;
    stream.looking = true;
    const { method, request, headers, peer, ended } = stream;
    while (stream.again && !ended.signal.aborted) {
      stream.again = false;
      try {
        stream.caller = await this.#deps.gate(method, request, headers, peer, undefined, () => ended.signal);
      } catch (error) {
        if (isNebulaError(error, "unauthenticated") || isNebulaError(error, "permission_denied")) end(stream, "not_allowed", error);
        stream.again = true;
        await this.#deps.clock.sleep(RETRY_MS, ended.signal).catch(() => {});
        continue;
      }
      try {
        stream.check(stream.caller.principal);
      } catch (error) {
        end(stream, "not_allowed", error);
      }
    }
    stream.looking = false;
  }
}

/** Ends an open stream; the first reason counts. */
function end(stream: OpenStream, reason: EndReason, error: unknown): void {
  if (!stream.ended.signal.aborted) stream.why = reason;
  stream.ended.abort(error);
}

function stopping(): NebulaError {
  return new NebulaError("unavailable", "this manager is stopping: open the stream again");
}

/** Rejects with the reason of the signal when that is aborted first. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
