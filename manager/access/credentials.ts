import { isUtf8 } from "node:buffer";
import { hash, timingSafeEqual } from "node:crypto";
import { withoutEnd } from "../../common/text/without-end.ts";

/** The content of an Authorization header. */
export type Credential = Readonly<
  { kind: "none" } | { kind: "basic"; user: string; password: string } | { kind: "bearer"; token: string } | { kind: "unreadable" }
>;

/** Reads an Authorization header (RFC 9110; Basic: RFC 7617, UTF-8). The scheme's case does not matter. */
export function credentialFrom(header: string | undefined): Credential {
  if (header === undefined || header.trim() === "") return { kind: "none" };
  const [, scheme = "", value = ""] = /^\s*(\S+)\s+(\S+)\s*$/.exec(header) ?? [];
  switch (scheme.toLowerCase()) {
    case "bearer":
      return { kind: "bearer", token: value };
    case "basic": {
      const bytes = Buffer.from(value, "base64");
      if (!isUtf8(bytes)) return { kind: "unreadable" };
      const pair = bytes.toString("utf8");
      const colon = pair.indexOf(":");
      return colon < 0 ? { kind: "unreadable" } : { kind: "basic", user: pair.slice(0, colon), password: pair.slice(colon + 1) };
    }
    default:
      return { kind: "unreadable" };
  }
}

/**
 * From as many characters on a token is of 256 random bits, as the tokens that Nebula makes are (43 in base64url, 64 in hexadecimal): it can't be guessed, so
 * looking it up is never refused. A shorter one is treated as a password is: a caller who fails too often waits.
 */
const UNGUESSABLE_LENGTH = 43;

/** Returns the tokens that a Bearer credential may be: itself, and the text that it is the base64 of, as clients of v2 send it. */
export function tokensOf(sent: string): readonly string[] {
  const bytes = Buffer.from(sent, "base64");
  const isBase64 = bytes.length > 0 && withoutEnd(bytes.toString("base64"), "=") === withoutEnd(sent, "=");
  return isBase64 && isText(bytes) ? [sent, bytes.toString("utf8")] : [sent];
}

/** Whether the bytes may be a token in clear. 256 random bits hardly ever are, so a device's token is one lookup. */
function isText(bytes: Buffer): boolean {
  return isUtf8(bytes) && bytes.every((byte) => byte >= 0x20 && byte !== 0x7f);
}

/** Returns whether this Bearer credential is too long to be guessed. */
export function isUnguessable(sent: string): boolean {
  return tokensOf(sent).every((token) => token.length >= UNGUESSABLE_LENGTH);
}

/** The admin of the configuration. */
export type AdminSettings = Readonly<{ user: string; password: string; token: string | undefined }>;

/** Whether a credential is the local admin's: by its password, or by its token as sent or base64-decoded. */
export type IsLocalAdmin = (credential: Credential) => boolean;

/** Keeps digests of the secrets under `key`, not the secrets. */
export function createLocalAdmin(admin: AdminSettings, key: string): IsLocalAdmin {
  const digest = (text: string): Buffer => hash("sha256", key + text, "buffer");
  const expected = {
    user: digest(admin.user),
    password: digest(admin.password),
    token: admin.token === undefined || admin.token === "" ? undefined : digest(admin.token),
  };

  /** Every comparison is made, on digests of one length: the time taken reveals nothing. */
  return (credential) => {
    switch (credential.kind) {
      case "basic": {
        const user = timingSafeEqual(digest(credential.user), expected.user);
        const password = timingSafeEqual(digest(credential.password), expected.password);
        return user && password;
      }
      case "bearer": {
        const { token } = expected;
        return token !== undefined && tokensOf(credential.token).filter((sent) => timingSafeEqual(digest(sent), token)).length > 0;
      }
      case "none":
      case "unreadable":
        return false;
    }
  };
}
