import { isUtf8 } from "node:buffer";
import { withoutEnd } from "../../common/text/without-end.ts";

/**
 * From as many characters on a token is of 256 random bits, as the tokens that Nebula makes are (43 in base64url, 64 in hexadecimal): it can't be guessed, so
 * looking it up is never refused. A shorter one is treated as a password is: whoever fails too often waits.
 */
const UNGUESSABLE_LENGTH = 43;

/** What a Bearer credential may stand for: itself, and, as v2's clients send it, what it is the base64 of. */
export function tokensOf(sent: string): readonly string[] {
  const bytes = Buffer.from(sent, "base64");
  const isBase64 = bytes.length > 0 && withoutEnd(bytes.toString("base64"), "=") === withoutEnd(sent, "=");
  return isBase64 && isText(bytes) ? [sent, bytes.toString("utf8")] : [sent];
}

/** Whether the bytes may be a token in clear. 256 random bits hardly ever are, so a device's token is one lookup. */
function isText(bytes: Buffer): boolean {
  return isUtf8(bytes) && bytes.every((byte) => byte >= 0x20 && byte !== 0x7f);
}

/** Whether nobody can guess what this Bearer credential may stand for. */
export function isUnguessable(sent: string): boolean {
  return tokensOf(sent).every((token) => token.length >= UNGUESSABLE_LENGTH);
}
