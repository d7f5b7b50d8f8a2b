import type { DescMethod, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";

/** Who calls. */
export type Principal = Readonly<
  /** A user; the local admin is one. */
  | { kind: "user"; name: string; admin: boolean }
  /** A part of this cluster that knows the cluster key, without a user behind it. */
  | { kind: "part" }
>;

/** What a handler knows of its call besides the request. */
export type CallContext = Readonly<{
  principal: Principal;
  /** Aborted when the caller goes away or its deadline passes. */
  signal: AbortSignal;
  /** Address of the caller; a gateway's word for it is believed only with the part token. */
  peer: string;
  /** An id for the log, the caller's own where it sent one. */
  requestId: string;
}>;

export type UnaryHandler<M extends DescMethod> = (request: MessageShape<M["input"]>, context: CallContext) => Promise<MessageInitShape<M["output"]>>;

type UnaryMethodNames<S extends DescService> = {
  [Name in keyof S["method"]]: S["method"][Name] extends { methodKind: "unary" } ? Name : never;
}[keyof S["method"]];

/** The unary methods of a service; server streams (WatchConfig) are served by the watch hub. They throw NebulaErrors. */
export type ServiceHandlers<S extends DescService> = { [Name in UnaryMethodNames<S>]: UnaryHandler<S["method"][Name]> };

/** The name that goes into the history. */
export function nameOf(principal: Principal): string {
  return principal.kind === "user" ? principal.name : "nebula";
}
