import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { Code, ConnectError, createContextValues } from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerRequest, UniversalServerResponse } from "@connectrpc/connect/protocol";
import { universalRequestFromNodeRequest } from "@connectrpc/connect-node";
import type { Log } from "../../common/log/log.ts";
import { pathOf } from "../../common/rpc/service-definition.ts";
import { LONGEST_REPEATED, nearestName, quote, shown } from "../../common/text/wording.ts";
import { sendError } from "../http/errors.ts";
import { callerKey, type Exchange, type Route } from "../http/exchange.ts";
import { decodedBody } from "./decode-request.ts";
import { API_SERVICES, type Forwarder, isServerStream } from "./forwarder.ts";
import { answerJsonLines } from "./json-lines.ts";

/** Serves the API at `/<service>/<method>`, one route per service. */
export function connectRoutes(forwarder: Forwarder, log: Log): readonly Route[] {
  const byPath = new Map(forwarder.handlers.map((handler) => [handler.requestPath, handler]));

  async function handle(exchange: Exchange): Promise<void> {
    const { request, response, path } = exchange;
    const handler = byPath.get(path);
    if (handler === undefined) {
      if (MANAGERS_OWN.has(path)) return sendError(response, notServed(path));
      const nearest = nearestName(path, byPath.keys());
      const hint = nearest === undefined ? "" : `: did you mean ${nearest}?`;
      return sendError(response, new ConnectError(`there is no method ${shown(path)}${hint}`, Code.Unimplemented), 404);
    }
    exchange.route = path;
    const header = longHeader(request);
    if (header !== undefined) return sendError(response, new ConnectError(header, Code.InvalidArgument));
    const contentType = request.headers["content-type"] ?? "";
    if (isServerStream(handler.method) && request.method === "POST" && /^application\/json\s*(;|$)/i.test(contentType)) {
      return await answerJsonLines(handler.method, exchange, forwarder, log);
    }
    const universal = universalRequest(exchange, handler, log);
    if (universal === undefined) return sendError(response, new ConnectError("the Host header is missing, or is not a host", Code.InvalidArgument));
    await answer(response, await handler(universal), handler);
  }

  const services = new Set(forwarder.handlers.map(({ service }) => service.typeName));
  return [...services].map((name) => ({ prefix: `/${name}/`, handle }));
}

/** The methods that take streams of requests: HTTP/1.1 answers a request once it is complete. */
const MANAGERS_OWN: ReadonlySet<string> = new Set(
  API_SERVICES.flatMap((service) => service.methods)
    .filter(({ methodKind }) => methodKind === "bidi_streaming" || methodKind === "client_streaming")
    .map(pathOf),
);

function notServed(path: string): ConnectError {
  return new ConnectError(`${path} takes a stream of requests: call it by gRPC at a manager, a gateway does not serve it`, Code.Unimplemented);
}

/** Headers whose values Connect repeats in its refusals. */
const REPEATED_HEADERS = [
  "connect-timeout-ms",
  "connect-protocol-version",
  "content-encoding",
  "connect-content-encoding",
  "grpc-timeout",
  "grpc-encoding",
];

/** Why a header is refused for its length; undefined: none is. */
function longHeader({ headers }: IncomingMessage): string | undefined {
  const name = REPEATED_HEADERS.find((name) => String(headers[name] ?? "").length > LONGEST_REPEATED);
  return name === undefined
    ? undefined
    : `invalid header ${name} ${quote(String(headers[name]))}: it is too long; use at most ${LONGEST_REPEATED} characters`;
}

function universalRequest(exchange: Exchange, handler: UniversalHandler, log: Log): UniversalServerRequest | undefined {
  const { request, response, caller } = exchange;
  const host = request.headers.host;
  if (host === undefined || !URL.canParse(`http://${host}`)) return undefined;
  const values = createContextValues().set(callerKey, caller);
  const universal = universalRequestFromNodeRequest(request, response, undefined, values);
  universal.header.delete("content-length"); // Connect reads another body than the one that was sent
  return { ...universal, body: decodedBody(exchange, handler.method.input, values, log) };
}

/** Writes the answer of Connect at the pace of the reader. If the client disconnects, the producer of the answer is aborted. */
async function answer(
  response: ServerResponse,
  { status, header, body }: UniversalServerResponse,
  { allowedMethods, method }: UniversalHandler,
): Promise<void> {
  if (body === undefined && status === 405) {
    response.setHeader("allow", allowedMethods.join(", "));
    return sendError(response, new ConnectError(`this method is called by ${allowedMethods.join(" or ")}`, Code.Unimplemented), status);
  }
  if (body === undefined && status === 415) {
    const types = isServerStream(method)
      ? "application/json (one message a line), application/connect+json or application/connect+proto"
      : "application/json or application/proto";
    return sendError(
      response,
      new ConnectError(`the content type has to be ${types}: curl -H 'content-type: application/json'`, Code.InvalidArgument),
      status,
    );
  }
  response.writeHead(status, Object.fromEntries(header ?? []));
  if (body === undefined) response.end();
  else await pipeline(body, response);
}
