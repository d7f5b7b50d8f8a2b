import { FORWARDED_FOR_HEADER, FORWARDER_TOKEN_HEADER, forwarderToken, PART_TOKEN_HEADER } from "../common/access/part-token.ts";
import { NebulaError } from "../common/errors/nebula-error.ts";
import { REQUEST_ID_HEADER } from "../common/rpc/request-id.ts";
import type { Caller } from "./caller.ts";

/**
 * The headers of a forwarded call: the caller's Authorization unchanged, and beside it the part token, with which the manager believes the caller's address.
 * Without an Authorization the part token stays here: alone it would give the caller the rights of a part. The address goes along all the same, with a token
 * that has it believed and gives no rights: the manager's audit log has it, and one whose authentication is off learns that the call is not of its own machine.
 * @throws NebulaError unauthenticated when the Authorization can't be a valid one
 */
export function forwardHeaders(authorization: string | null, { address, requestId }: Caller, partToken: string): Readonly<Record<string, string>> {
  const from = { [REQUEST_ID_HEADER]: requestId, [FORWARDED_FOR_HEADER]: address };
  if (authorization === null || authorization.trim() === "") return { ...from, [FORWARDER_TOKEN_HEADER]: forwarderToken(partToken) };
  if (!/^[ -~]*$/.test(authorization))
    throw new NebulaError("unauthenticated", "the authorization header holds characters other than printable ASCII");
  return { ...from, authorization, [PART_TOKEN_HEADER]: partToken };
}
