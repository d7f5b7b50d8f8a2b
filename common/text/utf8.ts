import { isUtf8 } from "node:buffer";
import { NebulaError } from "../errors/nebula-error.ts";

/** Stands in a text for bytes that were not UTF-8: in a variable or an argument, which come decoded. */
const REPLACEMENT = "\uFFFD";
const ADVICE = "save it as UTF-8: other bytes would change without a word";

/**
 * The text of bytes, as they are.
 * @param what names the bytes in the message: `--password-file secret.txt`
 * @throws NebulaError `invalid_argument` where they are not UTF-8; the bytes are not in it
 */
export function utf8Text(bytes: Uint8Array, what: string): string {
  if (!isUtf8(bytes)) throw notUtf8(what);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}

/** A secret that came decoded. @throws as utf8Text, where something of it was not UTF-8 */
export function wholeSecret(text: string, what: string): string {
  if (hasLostBytes(text)) throw notUtf8(what);
  return text;
}

/** Whether bytes of a text that came decoded were not UTF-8. */
export function hasLostBytes(text: string): boolean {
  return text.includes(REPLACEMENT);
}

/** The message about such bytes, without them. */
export const NOT_UTF8 = `holds bytes that are not UTF-8; ${ADVICE}`;

function notUtf8(what: string): NebulaError {
  return new NebulaError("invalid_argument", `${what} ${NOT_UTF8}`);
}
