import type { DescMessage } from "@bufbuild/protobuf";
import { fromBinary, fromJsonString } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Log } from "../common/log/log.ts";
import { hasTooManyJsonValues, hasTooManyValues, TOO_MANY_VALUES } from "../common/rpc/count-values.ts";
import { asConnectError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { JSON_OPTIONS } from "./json-options.ts";
import { ENVELOPE_BYTES } from "./request-body.ts";
import { whyNot } from "./why-not.ts";

/**
 * A request's body, whole, as one chunk. It is held to the limit while it is read, and has to be one message: Connect itself answers `internal` to bytes that
 * are none, which is the caller's fault and no fault of ours, and to JSON that is none with a part of it, which may be a secret.
 */
export async function* checkedBody({ request, caller, body }: Exchange, input: DescMessage, log: Log): AsyncGenerator<Uint8Array, void> {
  const bytes = await body.read().catch((error: unknown) => {
    throw asConnectError(error, caller.requestId, log);
  });
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
