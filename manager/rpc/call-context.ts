import type { DescMethod, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Principal } from "../access/principal.ts";
import type { LoginSource } from "../access/verified-credentials.ts";
import type { Changed } from "../audit/call-record.ts";

/** The call of a handler, besides its request. */
export type CallContext = Readonly<{
  principal: Principal;
  /** The credential of the caller; undefined: the call needs none. */
  source?: LoginSource;
  /** Aborted when the caller disconnects or its deadline passes. */
  signal: AbortSignal;
  /** Address of the caller; one that a gateway names counts only with the part token. */
  peer: string;
  /** An id for the log: that of the caller if it sent one. */
  requestId: string;
  /** Notes a change, once per thing and after it is stored: the audit log has one entry for each. A call that succeeds without a change has one entry. */
  changed(change: Changed): void;
}>;

export type UnaryHandler<M extends DescMethod> = (request: MessageShape<M["input"]>, context: CallContext) => Promise<MessageInitShape<M["output"]>>;

/** The call of a handler that answers a stream, besides its request. */
export type StreamContext = Omit<CallContext, "changed"> &
  Readonly<{
    /**
     * Has `check` called with the caller whenever its rights were read again, while the stream is open. An error that it throws ends the stream. A later check
     * replaces an earlier one.
     */
    keepAllowed(check: (principal: Principal) => void): void;
  }>;

/** Yields the messages of the stream, each as of when it is asked for: one is asked for when the one before was taken. Ends when the signal is aborted. */
export type StreamHandler<M extends DescMethod> = (
  request: MessageShape<M["input"]>,
  context: StreamContext,
) => AsyncIterable<MessageInitShape<M["output"]>>;

type MethodNames<S extends DescService, Kind extends DescMethod["methodKind"]> = {
  [Name in keyof S["method"]]: S["method"][Name] extends { methodKind: Kind } ? Name : never;
}[keyof S["method"]];

/** The unary methods of a service. They throw NebulaErrors. */
export type ServiceHandlers<S extends DescService> = { [Name in MethodNames<S, "unary">]: UnaryHandler<S["method"][Name]> };

/** The server streams of a service, other than those that have a way of their own (WatchConfig: the watch hub). They throw NebulaErrors. */
export type ServiceStreams<S extends DescService> = { [Name in MethodNames<S, "server_streaming">]: StreamHandler<S["method"][Name]> };
