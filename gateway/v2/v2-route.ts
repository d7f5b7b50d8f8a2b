import { isNebulaError, messageOf, NebulaError } from "../../common/errors/nebula-error.ts";
import { send, sendJson } from "../../common/http/send.ts";
import type { Log } from "../../common/log/log.ts";
import { shown } from "../../common/validation/quote.ts";
import { StatusService } from "../../gen/nebula/v1/status_pb.ts";
import type { Exchange, Route } from "../exchange.ts";
import { type CallManagersDeps, callManagers } from "./call-managers.ts";
import { ignoredBody, jsonBody } from "./json-body.ts";
import { createPathMatcher, type PathMatch } from "./match-path.ts";
import { documentOperation } from "./openapi/document-operation.ts";
import type { HttpMethod, Operation, V2Call } from "./operation.ts";
import { type RefusedAnswer, refusedAnswer, V2Refusal } from "./refusal.ts";

export const V2_PREFIX = "/api/v2";

export type V2RouteDeps = CallManagersDeps & Readonly<{ operations: readonly Operation[]; log: Log }>;

/** Serves REST v2. Nothing is answered to who has no login, be it that nothing is there. */
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
      if (!request.complete && !response.headersSent) await ignoredBody(exchange.body).catch(() => {}); // a caller that sends all before it reads would not see the answer else
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

/** A HEAD is a GET whose body is not sent; what no operation has is nobody's. */
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
  return new V2Refusal(405, { error: `${method} is not allowed here; ${allowed} would do` }, { allow: allowed });
}

function queryOf(url = ""): URLSearchParams {
  const start = url.indexOf("?");
  return new URLSearchParams(start < 0 ? "" : url.slice(start));
}

/** What a caller gets who has no login; undefined: it has one. Any call does that needs a login and nothing else. */
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
  log.error({ requestId, error: messageOf(error), stack: error instanceof Error ? error.stack : undefined }, "a call failed by a fault of ours");
  return refusedAnswer(new NebulaError("internal", `internal error; the gateway's log has it under ${requestId}`));
}

/** Answers REST v2's way where a request is refused. */
export function sendRefused({ response }: Exchange, refused: RefusedAnswer): void {
  if (response.headersSent || response.destroyed) return;
  for (const [name, value] of Object.entries(refused.headers ?? {})) response.setHeader(name, value);
  if ("text" in refused) send(response, refused.status, "text/html; charset=utf-8", refused.text);
  else sendJson(response, refused.status, refused.body);
}
