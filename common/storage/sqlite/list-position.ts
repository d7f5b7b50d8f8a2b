import { invalidArgument, type NebulaError } from "../../errors/nebula-error.ts";
import { pageTokenViolation } from "../../validation/page.ts";

/** Where a page of the named list ended, as an opaque token. */
export function encodePosition(list: string, position: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify([list, ...position])).toString("base64url");
}

/**
 * The position in a token of the named list; its parts are for the caller to check.
 * @throws NebulaError `invalid_argument` naming page_token
 */
export function decodePosition(list: string, token: string): readonly unknown[] {
  const bytes = Buffer.from(token, "base64url");
  if (bytes.toString("base64url") !== token) throw refusedPosition(token);
  const value = parse(bytes.toString("utf8"));
  if (!Array.isArray(value) || value[0] !== list) throw refusedPosition(token);
  return value.slice(1);
}

/** The one part of a position that is a text. */
export function decodeTextPosition(list: string, token: string): string {
  const [text, ...more] = decodePosition(list, token);
  if (typeof text !== "string" || more.length > 0) throw refusedPosition(token);
  return text;
}

export function refusedPosition(token: string): NebulaError {
  return invalidArgument([pageTokenViolation(token)]);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
