import type { DescMethod, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { assertNever } from "../../common/errors/assert-never.ts";
import type { Rights } from "../access/rights.ts";

/** Who calls. */
export type Principal = Readonly<
  /** A user; the local admin is one. */
  | { kind: "user"; name: string; rights: Rights }
  /** A device with a token of its own. `tokenHash`: SHA-256 of the token, 64 hexadecimal digits. */
  | { kind: "device"; deviceId: string; deviceGroup: string; tokenHash: string }
  /** Whoever comes with an enrolment token; it may be used up or expired: the store has the last word when a device is taken in. */
  | { kind: "enrolment"; tokenHash: string; deviceGroup: string }
  /** A part of this cluster that knows the cluster key, without a user behind it. */
  | { kind: "part" }
>;

/** One thing that a call has changed, for the audit log. */
export type Changed = Readonly<{
  /** app, cron_job, device_group, user, user_group, device or enrolment_token. */
  kind: string;
  name: string;
  /** 0n or absent: there was none. */
  revisionBefore?: bigint;
  /** 0n or absent: there is none. */
  revisionAfter?: bigint;
  /** What was changed, one sentence, without values. */
  detail?: string;
}>;

/** What a handler knows of its call besides the request. */
export type CallContext = Readonly<{
  principal: Principal;
  /** Aborted when the caller goes away or its deadline passes. */
  signal: AbortSignal;
  /** Address of the caller; a gateway's word for it is believed only with the part token. */
  peer: string;
  /** An id for the log, the caller's own where it sent one. */
  requestId: string;
  /** Says what the call has changed, once per thing and after it is stored: the audit log has one entry for each. A call that succeeds without saying so has one for the call. */
  changed(change: Changed): void;
}>;

export type UnaryHandler<M extends DescMethod> = (request: MessageShape<M["input"]>, context: CallContext) => Promise<MessageInitShape<M["output"]>>;

type UnaryMethodNames<S extends DescService> = {
  [Name in keyof S["method"]]: S["method"][Name] extends { methodKind: "unary" } ? Name : never;
}[keyof S["method"]];

/** The unary methods of a service; server streams (WatchConfig) are served by the watch hub. They throw NebulaErrors. */
export type ServiceHandlers<S extends DescService> = { [Name in UnaryMethodNames<S>]: UnaryHandler<S["method"][Name]> };

/** The name that goes into the history, the audit log and the log. */
export function nameOf(principal: Principal): string {
  switch (principal.kind) {
    case "user":
      return principal.name;
    case "device":
      return `device/${principal.deviceId}`;
    case "enrolment":
      return `enrolment/${principal.deviceGroup}`;
    case "part":
      return "nebula";
    default:
      return assertNever(principal);
  }
}
