import type { DescMethod, Message } from "@bufbuild/protobuf";
import { assertNever } from "../../common/errors/assert-never.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { pathOf } from "../../common/rpc/service-definition.ts";
import type { Authenticate, Caller, CallHeaders, Seen } from "./authenticate.ts";
import type { Principal } from "./principal.ts";
import { type MethodRule, ruleOf } from "./rights/method-table.ts";
import { assertPermitted } from "./rights/permit.ts";
import { NO_RIGHTS } from "./rights/rights.ts";
import type { CallerSignal } from "./shared-work.ts";
import { configuredLogin } from "./verified-credentials.ts";

/**
 * Lets a call in; throws, or rejects with, `unauthenticated` or `permission_denied`. Answers at once where Authenticate does. `request` is undefined for a
 * stream of requests, none of which has come yet. `seen` is called with the caller before the call is refused. `signal`: as for Authenticate.
 */
export type Gate = (
  method: DescMethod,
  request: Message | undefined,
  headers: CallHeaders,
  peer: string,
  seen?: Seen,
  signal?: CallerSignal,
) => Caller | Promise<Caller>;

const NOBODY = configuredLogin({ kind: "user", name: "", rights: NO_RIGHTS });

/** The one way into every method: who calls, then what the method table says. */
export function createGate(authenticate: Authenticate): Gate {
  return (method, request, headers, peer, seen, signal) => {
    const rule = ruleOf(method);
    if (rule === undefined) throw new NebulaError("permission_denied", `nobody may call ${pathOf(method)}: it is missing in the method table`);
    if (rule.kind === "public") return { principal: NOBODY.verified.principal, login: NOBODY, viaPart: false, peer };
    const caller = authenticate(headers, peer, seen, signal);
    // A caller who is known is let in without a closure: returning devices come by the thousand.
    return caller instanceof Promise ? caller.then((found) => letIn(found, rule, method, request, seen)) : letIn(caller, rule, method, request, seen);
  };
}

function letIn(caller: Caller, rule: MethodRule<Message>, method: DescMethod, request: Message | undefined, seen: Seen | undefined): Caller {
  seen?.(caller);
  permitBy(rule, method, request, caller.principal);
  return caller;
}

/** Applies the rule of the table to a call of this principal; throws `permission_denied`. `request` is undefined for a stream of requests. */
export function permitBy(rule: MethodRule<Message>, method: DescMethod, request: Message | undefined, principal: Principal): void {
  switch (rule.kind) {
    case "public":
      return;
    case "stream":
      assertPermitted(principal, { kind: "credential" }, false);
      return;
    case "guarded":
      if (request === undefined) throw new NebulaError("invalid_argument", `${pathOf(method)} takes one request`);
      assertPermitted(principal, rule.need(request), rule.part);
      return;
    default:
      assertNever(rule);
  }
}
