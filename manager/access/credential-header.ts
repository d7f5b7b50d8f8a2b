import { isUtf8 } from "node:buffer";

/** What an Authorization header says. */
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
