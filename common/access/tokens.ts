import { hash, randomBytes } from "node:crypto";

/** Bytes: 256 bits, which nobody guesses, so that a plain hash of a token is enough to store it by. */
const TOKEN = 32;

/** A new token: 256 random bits as base64url, 43 characters. */
export function newToken(): string {
  return randomBytes(TOKEN).toString("base64url");
}

/** What is stored of a token, and what it is found by: its SHA-256, 64 hexadecimal digits. */
export function tokenHash(token: string): string {
  return hash("sha256", token, "hex");
}
