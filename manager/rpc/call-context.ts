import type { DescMethod, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Principal } from "../access/principal.ts";
import type { Changed } from "../audit/call-record.ts";

/** The call of a handler, besides its request. */
export type CallContext = Readonly<{
  principal: Principal;
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

type UnaryMethodNames<S extends DescService> = {
  [Name in keyof S["method"]]: S["method"][Name] extends { methodKind: "unary" } ? Name : never;
}[keyof S["method"]];

/** The unary methods of a service; server streams (WatchConfig) are served by the watch hub. They throw NebulaErrors. */
export type ServiceHandlers<S extends DescService> = { [Name in UnaryMethodNames<S>]: UnaryHandler<S["method"][Name]> };
