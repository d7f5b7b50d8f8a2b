import { PART_TOKEN_HEADER, partTokenCheck } from "../../common/access/part-token.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { REQUEST_ID_HEADER, requestIdFrom } from "../../common/rpc/request-id.ts";
import type { Authenticate } from "../access/authenticate.ts";
import { methodOf } from "../access/rights/method-table.ts";
import type { Audit } from "../audit/audit.ts";
import type { CallLogins } from "./unfinished-calls.ts";

export type CallLoginsDeps = Readonly<{ authenticate: Authenticate; audit: Audit; clusterKey: string }>;

/**
 * Logins of calls that are not read yet, by their headers alone. A failed one leaves the audit entry that the call
 * itself leaves.
 */
export function createCallLogins({ authenticate, audit, clusterKey }: CallLoginsDeps): CallLogins {
  const isPartToken = partTokenCheck(clusterKey);
  return {
    isPart(headers) {
      const shown = headers[PART_TOKEN_HEADER];
      return typeof shown === "string" && isPartToken(shown);
    },
    async check(headers, peer) {
      const text = (name: string) => (typeof headers[name] === "string" ? headers[name] : undefined);
      const method = methodOf(text(":path") ?? "");
      const record = method === undefined ? undefined : audit.begin(method, { peer, requestId: requestIdFrom(text(REQUEST_ID_HEADER)) });
      try {
        await authenticate({ header: text }, peer, record?.seen);
      } catch (error) {
        if (isNebulaError(error)) record?.failedLogin(error);
        throw error;
      }
    },
  };
}

/** Authenticates, and says of which connections a call had a valid login. */
export function notingLogins(authenticate: Authenticate, loggedIn: (peer: string) => void): Authenticate {
  return (headers, peer, seen, signal) => {
    const caller = authenticate(headers, peer, seen, signal);
    if (!(caller instanceof Promise)) {
      loggedIn(peer);
      return caller;
    }
    return caller.then((found) => {
      loggedIn(peer);
      return found;
    });
  };
}
