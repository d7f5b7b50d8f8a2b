import { create, type DescMessage, isMessage } from "@bufbuild/protobuf";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { Exchange } from "../exchange.ts";
import { forwardHeaders } from "../forward-headers.ts";
import type { ManagerPool } from "../manager-pool.ts";
import type { V2Call } from "./operation.ts";

/** How long a manager may take for one call, milliseconds. */
const TIMEOUT_MS = 60_000;

export type CallManagersDeps = Readonly<{ pool: Pick<ManagerPool, "unary">; partToken: string }>;

/** Calls to the managers on behalf of who sent this request; they end when it goes away. */
export function callManagers({ pool, partToken }: CallManagersDeps, { request, response, caller }: Exchange): V2Call["call"] {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  return async (method, init) => {
    const headers = forwardHeaders(request.headers.authorization ?? null, caller, partToken);
    const input: DescMessage = method.input;
    const answer = await pool.unary(method, create(input, init), { signal: gone.signal, headers, timeoutMs: TIMEOUT_MS });
    if (isMessage(answer, method.output)) return answer;
    throw new NebulaError("internal", `a manager answered ${method.name} with something else`);
  };
}
