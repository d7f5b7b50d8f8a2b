import { messageOf } from "../common/errors/nebula-error.ts";
import { quote, shown } from "../common/validation/quote.ts";

/** Longer than any message of protobuf-es before the text of a caller begins in it. */
const LONGEST_HEAD = 300;

const FROM_JSON = " from JSON: ";
const UNKNOWN = '" is unknown';

/** Fields whose values are in no answer: they end in many a log of those who call. */
const SECRET = /(?:env_vars|password|password_hash|token|authorization)$/;

/**
 * Why protobuf-es cannot decode a message, in its words, without a text that is not JSON at all, and without values of secrets: an answer repeats little of what
 * a caller sent. The words are cut before anything is looked for in them.
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

/** What stands behind `cannot decode message T from JSON: `; of a field its name is kept. */
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
