import { hash, randomBytes } from "node:crypto";

/** Bytes: 256 bits cannot be guessed, so a plain hash of a token is enough for its storage. */
const TOKEN = 32;

/** A new token: 256 random bits as base64url, 43 characters. */
export function newToken(): string {
  return randomBytes(TOKEN).toString("base64url");
}

/** The stored form of a token, by which it is looked up: its SHA-256, 64 hexadecimal digits. */
export function tokenHash(token: string): string {
  return hash("sha256", token, "hex");
}
