import { fromBinary, type Message } from "@bufbuild/protobuf";
import { invalidArgument, isNebulaError, messageOf } from "../../common/errors/nebula-error.ts";
import { quote } from "../../common/text/wording.ts";
import { type AccessService, type CheckRequest, Verdict } from "../../gen/nebula/v1/access_pb.ts";
import type { Authenticate } from "../access/authenticate.ts";
import { permitBy } from "../access/gate.ts";
import { methodOf, ruleOf } from "../access/rights/method-table.ts";
import { subjectsOf } from "../access/verified-credentials.ts";
import type { Audit } from "../audit/audit.ts";
import type { UnaryHandler } from "../rpc/call-context.ts";

/**
 * AccessService.Check: what the managers would say of a call, by the same authentication and the same table as the call itself. The caller's address is the
 * one that the gateway forwards, and failed logins count for it: after too many Check itself is RESOURCE_EXHAUSTED. UNAVAILABLE where the store does not answer.
 * A failed login leaves the audit entry that the call itself would have left.
 */
export function createAccessCheck(authenticate: Authenticate, audit: Audit): UnaryHandler<typeof AccessService.method.check> {
  return async ({ authorization, method: path, request: bytes }, { peer, requestId, signal }) => {
    const method = methodOf(path);
    const rule = method === undefined ? undefined : ruleOf(method);
    if (method === undefined || rule === undefined)
      return { verdict: Verdict.DENIED, reason: `nobody may call ${quote(path)}: there is no such method` };
    if (rule.kind === "public") return { verdict: Verdict.ALLOWED };
    const request = rule.kind === "stream" ? undefined : decode(() => fromBinary(method.input, bytes), method.input.typeName);
    const record = audit.begin(method, { peer, requestId });
    record.seen({ peer, viaPart: true });
    let subject = "";
    try {
      const headers = { header: (name: string) => (name === "authorization" && authorization !== "" ? authorization : undefined) };
      const { principal, login } = await authenticate(headers, peer, undefined, () => signal);
      subject = login.verified.source.kind === "session" ? "" : (subjectsOf(login.verified)[0] ?? ""); // its end, and a change of its user, concern it
      record.seen({ peer, viaPart: true, principal }); // a refusal from here on does not count as a failed login
      permitBy(rule, method, request, principal);
      return { verdict: Verdict.ALLOWED, subject };
    } catch (error) {
      if (isNebulaError(error)) record.failedLogin(error);
      if (isNebulaError(error, "unauthenticated")) return { verdict: Verdict.UNAUTHENTICATED, reason: error.message };
      if (isNebulaError(error, "permission_denied")) return { verdict: Verdict.DENIED, reason: error.message, subject };
      throw error;
    }
  };
}

function decode(read: () => Message, typeName: string): Message {
  try {
    return read();
  } catch (error) {
    throw invalidArgument([{ field: "request" satisfies keyof CheckRequest, description: `is not a valid ${typeName}: ${messageOf(error)}` }]);
  }
}
