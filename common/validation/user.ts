import { SHORTEST_PASSWORD } from "../access/authorization.ts";
import { PASSWORD_HASH_RULE, parsePasswordHash } from "../access/password-format.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { validateName } from "./names.ts";

/** Bytes in UTF-8. */
const LONGEST_PASSWORD = 256;
const SHORTEST_TOKEN = 8;
const LONGEST_TOKEN = 512;
/** The characters that a header's value may have, without spaces. */
const TOKEN = /^[!-~]*$/;

/** The credentials that a request gives a user. None of them is ever repeated in a message. */
export type UserCredentials = Readonly<{
  name: string;
  password?: string | undefined;
  token?: string | undefined;
  passwordHash?: string | undefined;
}>;

/** Everything that is wrong with a user's name and the credentials that are given. */
export function validateUser({ name, password, token, passwordHash }: UserCredentials): Violation[] {
  const both = { field: "password_hash", description: "is given beside password; use one of them" };
  return [
    ...validateName(name),
    ...(password === undefined ? [] : validatePassword(password)),
    ...(token === undefined ? [] : validateToken(token)),
    ...(passwordHash === undefined ? [] : validatePasswordHash(passwordHash)),
    ...(password !== undefined && passwordHash !== undefined ? [both] : []),
  ];
}

function validatePassword(password: string): Violation[] {
  const field = "password";
  const bytes = Buffer.byteLength(password);
  if (bytes < SHORTEST_PASSWORD || bytes > LONGEST_PASSWORD) {
    return [{ field, description: `has ${bytes} bytes; use ${SHORTEST_PASSWORD} to ${LONGEST_PASSWORD}` }];
  }
  if (!password.isWellFormed()) return [{ field, description: "contains half a character (a lone surrogate); text is UTF-8" }];
  return /\p{Cc}/u.test(password) ? [{ field, description: "contains a control character, which no login can send; leave it out" }] : [];
}

function validateToken(token: string): Violation[] {
  const field = "token";
  if (token.length < SHORTEST_TOKEN || token.length > LONGEST_TOKEN) {
    return [{ field, description: `has ${token.length} characters; use ${SHORTEST_TOKEN} to ${LONGEST_TOKEN}, better a generated one` }];
  }
  if (TOKEN.test(token)) return [];
  return [{ field, description: "has a character that no header can carry; use letters, digits and punctuation of ASCII, without spaces" }];
}

function validatePasswordHash(hash: string): Violation[] {
  if (parsePasswordHash(hash) !== undefined) return [];
  return [{ field: "password_hash", description: `is not a hash that can be checked; use ${PASSWORD_HASH_RULE}` }];
}
