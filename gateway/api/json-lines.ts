import { pipeline } from "node:stream/promises";
import { type DescMethodServerStreaming, type Message, toJsonString } from "@bufbuild/protobuf";
import type { ConnectError } from "@connectrpc/connect";
import { parseTimeout } from "@connectrpc/connect/protocol-connect";
import type { Log } from "../../common/log/log.ts";
import { asConnectError, errorJson, sendError } from "../http/errors.ts";
import { type Exchange, JSON_OPTIONS } from "../http/exchange.ts";
import { decodeJson } from "./decode-request.ts";
import { type Forwarder, LONGEST_MS } from "./forwarder.ts";

/**
 * Answers a server stream to a plain JSON request, so that it can be read with curl: one JSON message a line, as they come. An error before the first message
 * is an HTTP error as of any call; a later one is a last line `{"error": {...}}`. (Connect's own streams put 5 bytes before each message.)
 */
export async function answerJsonLines(
  method: DescMethodServerStreaming,
  { request, response, caller, body }: Exchange,
  forwarder: Forwarder,
  log: Log,
): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  try {
    const timeout = parseTimeout(oneHeader(request.headers["connect-timeout-ms"]), LONGEST_MS);
    if (timeout.error !== undefined) throw timeout.error;
    const message = decodeJson(method.input, await body.read(), "{}");
    const authorization = request.headers.authorization ?? null;
    const messages = forwarder.stream(method, message, { caller, authorization, signal: gone.signal, timeoutMs: timeout.timeoutMs });
    const first = await messages.next();
    response.writeHead(200, { "content-type": "application/x-ndjson", "cache-control": "no-store", "x-content-type-options": "nosniff" });
    response.flushHeaders();
    await pipeline(
      lines(method, first, messages, (error) => asConnectError(error, caller.requestId, log)),
      response,
    );
  } catch (error) {
    if (gone.signal.aborted) return;
    sendError(response, asConnectError(error, caller.requestId, log));
  }
}

async function* lines(
  method: DescMethodServerStreaming,
  first: IteratorResult<Message, void>,
  rest: AsyncGenerator<Message, void>,
  asError: (thrown: unknown) => ConnectError,
): AsyncGenerator<string, void> {
  try {
    if (first.done === true) return;
    yield `${toJsonString(method.output, first.value, JSON_OPTIONS)}\n`;
    for await (const message of rest) yield `${toJsonString(method.output, message, JSON_OPTIONS)}\n`;
  } catch (error) {
    yield `${JSON.stringify({ error: errorJson(asError(error)) })}\n`;
  } finally {
    await rest.return(); // so that it ends at the manager too, when the reader went away at the first line
  }
}

function oneHeader(value: string | string[] | undefined): string | null {
  return typeof value === "string" ? value : null;
}
