import type { DescMethod, Message } from "@bufbuild/protobuf";
import { assertNever } from "../../common/errors/assert-never.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { pathOf } from "../../common/rpc/service-definition.ts";
import type { Authenticate, Caller, CallHeaders } from "./authenticate.ts";
import { ruleOf } from "./method-table.ts";
import { permit } from "./permit.ts";

/** Lets a call in, or rejects with `unauthenticated` or `permission_denied`. `request` is undefined for a stream of requests, none of which has come yet. */
export type Gate = (method: DescMethod, request: Message | undefined, headers: CallHeaders, peer: string) => Promise<Caller>;

const NOBODY: Caller["principal"] = { kind: "user", name: "", admin: false };

/** The one way into every method: who calls, then what the method table says. */
export function createGate(authenticate: Authenticate): Gate {
  return async (method, request, headers, peer) => {
    const rule = ruleOf(method);
    if (rule === undefined) throw new NebulaError("permission_denied", `nobody may call ${pathOf(method)}: it is missing in the method table`);
    switch (rule.kind) {
      case "public":
        return { principal: NOBODY, viaPart: false, peer };
      case "stream": {
        const caller = await authenticate(headers, peer);
        permit(caller.principal, { kind: "login" }, false);
        return caller;
      }
      case "guarded": {
        const caller = await authenticate(headers, peer);
        if (request === undefined) throw new NebulaError("invalid_argument", `${pathOf(method)} takes one request`);
        permit(caller.principal, rule.need(request), rule.part);
        return caller;
      }
      default:
        return assertNever(rule);
    }
  };
}
