import { create, type DescMessage, isMessage } from "@bufbuild/protobuf";
import { isNebulaError, messageOf, NebulaError } from "../../common/errors/nebula-error.ts";
import { send, sendJson } from "../../common/http/send.ts";
import type { Log } from "../../common/log/log.ts";
import { shown } from "../../common/text/wording.ts";
import { StatusService } from "../../gen/nebula/v1/status_pb.ts";
import { forwardHeaders } from "../api/forwarder.ts";
import type { Exchange, Route } from "../http/exchange.ts";
import type { ManagerPool } from "../managers/manager-pool.ts";
import { ignoredBody, jsonBody } from "./json-body.ts";
import { createPathMatcher, type PathMatch } from "./match-path.ts";
import { documentOperation } from "./openapi/document.ts";
import type { HttpMethod, Operation, V2Call } from "./operation.ts";
import { type RefusedAnswer, refusedAnswer, V2Refusal } from "./v2-answers.ts";

export const V2_PREFIX = "/api/v2";

export type V2RouteDeps = CallManagersDeps & Readonly<{ operations: readonly Operation[]; log: Log }>;

/** Serves REST v2. A caller without a login gets no answer but the refusal, not even a not-found. */
export function v2Route({ operations, log, ...deps }: V2RouteDeps): Route {
  const match = createPathMatcher([...operations, documentOperation(operations, V2_PREFIX)]);

  async function handle(exchange: Exchange): Promise<void> {
    const { request, path, response } = exchange;
    const found = match(path.slice(V2_PREFIX.length));
    if (found !== undefined) exchange.route = `${V2_PREFIX}${found.template}`;
    const call = callManagers(deps, exchange);
    try {
      await answer(exchange, found, call);
    } catch (error) {
      let refused = asRefused(error, exchange, log);
      if (error instanceof V2Refusal) refused = (await withoutLogin(call, exchange, log)) ?? refused;
      if (!request.complete && !response.headersSent) await ignoredBody(exchange.body).catch(() => {}); // otherwise a caller that sends all before it reads would miss the answer
      sendRefused(exchange, refused);
    }
  }

  return { prefix: V2_PREFIX, handle };
}

async function answer(exchange: Exchange, found: PathMatch | undefined, call: V2Call["call"]): Promise<void> {
  const { request, response, path, body } = exchange;
  if (found === undefined) throw new V2Refusal(404, { error: `nothing is at ${shown(path)}; ${V2_PREFIX}/openapi.json says what there is` });
  const { operations, parameters } = found;
  const method = methodOf(request.method);
  const operation = method === undefined ? undefined : operations.get(method);
  if (operation === undefined) throw wrongMethod(request.method ?? "", operations);
  const parameter = (name: string): string => {
    const value = parameters.get(name);
    if (value === undefined) throw new TypeError(`${operation.id} has no parameter ${name} in its path`);
    return value;
  };
  if ("serve" in operation) return await operation.serve(exchange, parameter);
  if (operation.request === undefined) await ignoredBody(body);
  const answered = await operation.handle({ parameter, query: queryOf(request.url), body: () => jsonBody(body), call });
  for (const [name, value] of Object.entries(answered.headers ?? {})) response.setHeader(name, value);
  sendJson(response, answered.status, answered.body);
}

/** A HEAD is a GET whose body is not sent; undefined if no operation has the method. */
function methodOf(method = ""): HttpMethod | undefined {
  switch (method) {
    case "HEAD":
      return "GET";
    case "GET":
    case "POST":
    case "PUT":
    case "PATCH":
    case "DELETE":
      return method;
    default:
      return undefined;
  }
}

function wrongMethod(method: string, operations: PathMatch["operations"]): V2Refusal {
  const allowed = [...operations.keys(), ...(operations.has("GET") ? ["HEAD"] : []), "OPTIONS"].join(", ");
  if (method === "OPTIONS") return new V2Refusal(200, { methods: allowed.split(", ") }, { allow: allowed });
  return new V2Refusal(405, { error: `${method} is not allowed here; use ${allowed}` }, { allow: allowed });
}

function queryOf(url = ""): URLSearchParams {
  const start = url.indexOf("?");
  return new URLSearchParams(start < 0 ? "" : url.slice(start));
}

/** The refusal of a caller without a login; undefined: it has one. Asks by a call that needs a login and no rights. */
async function withoutLogin(call: V2Call["call"], exchange: Exchange, log: Log): Promise<RefusedAnswer | undefined> {
  try {
    await call(StatusService.method.getStatus, {});
    return undefined;
  } catch (error) {
    return asRefused(error, exchange, log);
  }
}

function asRefused(error: unknown, { caller: { requestId } }: Exchange, log: Log): RefusedAnswer {
  if (error instanceof V2Refusal) return error.answer;
  if (isNebulaError(error)) return refusedAnswer(error);
  log.error({ requestId, error: messageOf(error), stack: error instanceof Error ? error.stack : undefined }, "unhandled error in call");
  return refusedAnswer(new NebulaError("internal", `internal error; the gateway's log has it under ${requestId}`));
}

/** Answers a refused request as REST v2 does. */
export function sendRefused({ response }: Exchange, refused: RefusedAnswer): void {
  if (response.headersSent || response.destroyed) return;
  for (const [name, value] of Object.entries(refused.headers ?? {})) response.setHeader(name, value);
  if ("text" in refused) send(response, refused.status, "text/html; charset=utf-8", refused.text);
  else sendJson(response, refused.status, refused.body);
}

/** The limit of one call to a manager, milliseconds. */
const TIMEOUT_MS = 60_000;

export type CallManagersDeps = Readonly<{ pool: Pick<ManagerPool, "unary">; partToken: string }>;

/** Calls to the managers on behalf of the caller of this request; they end when it disconnects. */
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
