import type { IncomingMessage } from "node:http";
import type { DescMessage } from "@bufbuild/protobuf";
import { fromBinary, fromJsonString } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { hasTooManyJsonValues, hasTooManyValues, TOO_MANY_VALUES } from "../common/rpc/count-values.ts";
import { HTTP_LIMITS } from "./http-limits.ts";
import { JSON_OPTIONS } from "./json-options.ts";
import { whyNot } from "./why-not.ts";

/** The largest request body, bytes. */
const BODY_LIMIT = HTTP_LIMITS.bodyBytes;

/** What is read, and dropped, of a larger body, bytes: a caller that sends all before it reads would not see the answer else. */
const DROPPED_LIMIT = 4 * BODY_LIMIT;

/** Flags (1 byte) and length (4) before each message of a stream, and of gRPC. */
const ENVELOPE_BYTES = 5;

/**
 * A request's body, whole, as one chunk. It is held to the limit while it is read, and has to be one message: Connect itself answers `internal` to bytes that
 * are none, which is the caller's fault and no fault of ours, and to JSON that is none with a part of it, which may be a secret.
 */
export async function* checkedBody(request: IncomingMessage, input: DescMessage): AsyncGenerator<Uint8Array, void> {
  const bytes = await readBody(request);
  const contentType = request.headers["content-type"] ?? "";
  const message = isEnveloped(contentType) ? messageInEnvelope(bytes) : bytes;
  if (isBinary(contentType) ? hasTooManyValues(input, message) : hasTooManyJsonValues(message))
    throw invalid(`the request is no ${input.typeName}: ${TOO_MANY_VALUES}`);
  try {
    if (isBinary(contentType)) fromBinary(input, message);
    else if (isJson(contentType)) fromJsonString(input, new TextDecoder("utf-8", { fatal: true }).decode(message), JSON_OPTIONS);
  } catch (error) {
    throw invalid(`the request is no ${input.typeName}: ${whyNot(error)}`);
  }
  if (bytes.length > 0) yield bytes;
}

/** Reads a body as a whole. Rejects with a ConnectError `resource_exhausted` above the limit. */
export async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const limit = BODY_LIMIT + ENVELOPE_BYTES;
  if (Number(request.headers["content-length"] ?? 0) > DROPPED_LIMIT) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let length = 0;
  // The stream is left open, for a destroyed one takes the connection along, and the answer with it.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    if (!(chunk instanceof Uint8Array)) continue;
    length += chunk.length;
    if (length > DROPPED_LIMIT) break;
    if (length > limit) chunks.length = 0;
    else chunks.push(chunk);
  }
  if (length <= limit) return Buffer.concat(chunks, length);
  request.resume();
  throw tooLarge();
}

function tooLarge(): ConnectError {
  return new ConnectError(`the request's body is larger than ${BODY_LIMIT} bytes (4 MiB): send less at once`, Code.ResourceExhausted);
}

function isEnveloped(contentType: string): boolean {
  return /^application\/(connect\+|grpc-web)/i.test(contentType);
}

function isBinary(contentType: string): boolean {
  return /^application\/(proto|connect\+proto|grpc-web(\+proto)?)\s*(;|$)/i.test(contentType);
}

function isJson(contentType: string): boolean {
  return /^application\/(json|connect\+json|grpc-web\+json)\s*(;|$)/i.test(contentType);
}

/** What is in the one envelope that a request consists of. */
function messageInEnvelope(bytes: Uint8Array): Uint8Array {
  if (bytes.length < ENVELOPE_BYTES) throw invalid("the request ends before its message");
  if (bytes[0] !== 0) throw invalid("the request's message is compressed, or marked as something else: send it as it is");
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
  if (length !== bytes.length - ENVELOPE_BYTES) throw invalid("the request is not one message of the length that it says");
  return bytes.subarray(ENVELOPE_BYTES);
}

function invalid(message: string): ConnectError {
  return new ConnectError(message, Code.InvalidArgument);
}
