import { type DescMessage, fromBinary, fromJsonString, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type ContextKey, type ContextValues, createContextKey } from "@connectrpc/connect";
import { messageOf } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import { hasTooManyJsonValues, hasTooManyValues, TOO_MANY_VALUES } from "../../common/rpc/count-values.ts";
import { quote, shown } from "../../common/text/wording.ts";
import { asConnectError } from "../http/errors.ts";
import { type Exchange, JSON_OPTIONS } from "../http/exchange.ts";
import { ENVELOPE_BYTES } from "../http/request-body.ts";

/** The message of a request to Connect, which is decoded once: here. Connect gets an empty message in its place. */
export const messageKey: ContextKey<Message | undefined> = createContextKey<Message | undefined>(undefined);

/**
 * Reads and decodes the body of a request to Connect, sets the message in `values`, and yields the body of an empty
 * message for Connect to decode. Throws ConnectErrors that name the fault: Connect itself answers `internal` to damaged
 * bytes, and repeats a part of damaged JSON, which may be a secret.
 */
export async function* decodedBody(exchange: Exchange, input: DescMessage, values: ContextValues, log: Log): AsyncGenerator<Uint8Array, void> {
  const bytes = await exchange.body.read().catch((error: unknown) => {
    throw asConnectError(error, exchange.caller.requestId, log);
  });
  const contentType = exchange.request.headers["content-type"] ?? "";
  const enveloped = isEnveloped(contentType);
  const encoded = enveloped ? messageInEnvelope(bytes) : bytes;
  const decoded = decode(input, encoded, contentType);
  if (decoded === undefined) {
    if (bytes.length > 0) yield bytes; // a content type that Connect refuses
    return;
  }
  values.set(messageKey, decoded);
  const empty = isBinary(contentType) ? new Uint8Array() : EMPTY_JSON;
  if (enveloped) yield inEnvelope(empty);
  else if (empty.length > 0) yield empty;
}

const EMPTY_JSON = new TextEncoder().encode("{}");

function decode(input: DescMessage, encoded: Uint8Array, contentType: string): Message | undefined {
  if (isJson(contentType)) return decodeJson(input, encoded);
  const isTooMany = isBinary(contentType) ? hasTooManyValues(input, encoded) : hasTooManyJsonValues(encoded);
  if (isTooMany) throw notValid(input, TOO_MANY_VALUES);
  if (!isBinary(contentType)) return undefined;
  try {
    return fromBinary(input, encoded);
  } catch (error) {
    throw notValid(input, whyNot(error));
  }
}

/**
 * Decodes the JSON of a message.
 * @throws ConnectError invalid_argument that names the fault
 * @param ifEmpty the JSON that an empty text stands for; undefined: an empty text is invalid
 */
export function decodeJson(input: DescMessage, bytes: Uint8Array, ifEmpty?: string): Message {
  if (hasTooManyJsonValues(bytes)) throw notValid(input, TOO_MANY_VALUES);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return fromJsonString(input, ifEmpty !== undefined && text.trim() === "" ? ifEmpty : text, JSON_OPTIONS);
  } catch (error) {
    throw notValid(input, whyNot(error));
  }
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

/** Returns the message in the one envelope that a request consists of. */
function messageInEnvelope(bytes: Uint8Array): Uint8Array {
  if (bytes.length < ENVELOPE_BYTES) throw invalid("the request ends before its message");
  if (bytes[0] !== 0) throw invalid("the request's message is compressed, or marked as something else: send it as it is");
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
  if (length !== bytes.length - ENVELOPE_BYTES) throw invalid("the request is not one message of the length that its envelope gives");
  return bytes.subarray(ENVELOPE_BYTES);
}

function inEnvelope(message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(ENVELOPE_BYTES + message.length);
  new DataView(bytes.buffer).setUint32(1, message.length);
  bytes.set(message, ENVELOPE_BYTES);
  return bytes;
}

function notValid({ typeName }: DescMessage, reason: string): ConnectError {
  return invalid(`the request is not a valid ${typeName}: ${reason}`);
}

function invalid(message: string): ConnectError {
  return new ConnectError(message, Code.InvalidArgument);
}

/** Longer than any message of protobuf-es before the text of a caller begins in it. */
const LONGEST_HEAD = 300;

const FROM_JSON = " from JSON: ";
const UNKNOWN = '" is unknown';

/** Fields whose values are in no answer: they end in many a log of those who call. */
const SECRET = /(?:env_vars|password|password_hash|token|authorization)$/;

/**
 * Why protobuf-es cannot decode a message, in its words, without a text that is not JSON at all, and without values of
 * secrets: an answer repeats little of what a caller sent. The words are cut before anything is looked for in them.
 */
export function whyNot(error: unknown): string {
  const message = messageOf(error);
  const key = unknownKey(message);
  if (key !== undefined) return `key ${quote(key)} is unknown`;
  const words = message.slice(0, LONGEST_HEAD);
  if (error instanceof Error && error.cause instanceof SyntaxError) return syntaxFault(afterHead(words));
  const got = SECRET.test(words.slice(0, Math.max(0, words.indexOf(FROM_JSON)))) ? words.indexOf(", got ") : -1;
  return withLittleText(afterHead(got < 0 ? words : words.slice(0, got)));
}

/** `cannot decode message T from JSON: key "K" is unknown` */
function unknownKey(message: string): string | undefined {
  const begin = `${FROM_JSON}key "`;
  const at = message.slice(0, LONGEST_HEAD).indexOf(begin);
  return at >= 0 && message.endsWith(UNKNOWN) ? message.slice(at + begin.length, -UNKNOWN.length) : undefined;
}

/** Returns the words after `cannot decode message T from JSON: `; of a field its name is kept. */
function afterHead(words: string): string {
  const at = words.startsWith("cannot decode message ") ? words.indexOf(FROM_JSON) : -1;
  return at < 0 ? words : words.slice(at + FROM_JSON.length);
}

/** `Unexpected token 'a', ..."text of the caller"... is not valid JSON` without that text. */
function syntaxFault(words: string): string {
  const text = [words.indexOf(', "'), words.indexOf(', ..."')].filter((at) => at >= 0);
  return text.length === 0 ? words : `${words.slice(0, Math.min(...text))} is not valid JSON`;
}

/** A caller's text stands in quotes, or behind the type of a number: `expected bigint (uint64): text`. */
function withLittleText(words: string): string {
  const at = [words.indexOf('"'), words.indexOf("): ")].filter((found) => found >= 0);
  return at.length === 0 ? words : words.slice(0, Math.min(...at)) + shown(words.slice(Math.min(...at)));
}
