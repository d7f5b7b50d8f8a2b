import { type Parsed, type Parser, value, wrong } from "./parsers.ts";
import type { ServerUrl } from "./settings.ts";

const DEFAULT_PORT: Readonly<Record<ServerUrl["protocol"], number>> = { http: 80, https: 443, grpc: 50051, grpcs: 50051 };

/** Parses `http(s)://host[:port]` (a gateway) or `grpc(s)://host[:port]` (a manager). Default ports: 80, 443, 50051. */
export function parseServerUrl(text: string): Parsed<ServerUrl> {
  const hint = "use http://host:port of a gateway, or grpc://host:port of a manager";
  const [, scheme = "", rest = ""] = /^([a-z]+):\/\/(.*)$/.exec(text) ?? [];
  const protocol = protocolFrom(scheme);
  if (protocol === undefined) return wrong(`is not a URL of a server; ${hint}`);
  if (rest.includes("@")) return wrong("carries a login; use NEBULA_USER and NEBULA_PASSWORD, or NEBULA_TOKEN");
  const [, bracketed, bare, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:/?#\s[\]]+))(?::(\d{1,5}))?\/?$/.exec(rest) ?? [];
  const host = bracketed ?? bare;
  if (host === undefined) return wrong(`is not a URL of a server; ${hint}, without a path`);
  const port = digits === undefined ? DEFAULT_PORT[protocol] : Number(digits);
  return port >= 1 && port <= 65_535 ? value({ protocol, host, port }) : wrong("has an invalid port; use 1 to 65535");
}

function protocolFrom(scheme: string): ServerUrl["protocol"] | undefined {
  return scheme === "http" || scheme === "https" || scheme === "grpc" || scheme === "grpcs" ? scheme : undefined;
}

/** Parses managers, separated by commas; a bare host:port is grpc://. */
export function parseManagers(text: string): Parsed<readonly ServerUrl[]> {
  const managers: ServerUrl[] = [];
  for (const part of text.split(",").map((item) => item.trim())) {
    if (part === "") continue;
    const parsed = parseServerUrl(part.includes("://") ? part : `grpc://${part}`);
    if (parsed.kind === "wrong") return wrong(`holds ${withoutPassword(part)}, which ${parsed.problem}`);
    if (!parsed.value.protocol.startsWith("grpc")) return wrong(`holds ${withoutPassword(part)}: managers are dialled by gRPC; use grpc://host:port`);
    managers.push(parsed.value);
  }
  return managers.length > 0 ? value(managers) : wrong("names no manager; use grpc://host:port, several separated by commas");
}

/**
 * Returns a parser for URLs of a driver. The part after a scheme is the driver's own to read.
 * @param whole what is a URL as it is: `memory:`
 * @param schemes beginnings of URLs: `redis://`
 */
export function driverUrl(whole: readonly string[], schemes: readonly string[], examples: string): Parser<string> {
  return (text) => {
    const known = whole.includes(text) || schemes.some((scheme) => text.length > scheme.length && text.startsWith(scheme));
    return known ? value(text) : wrong(`is not a known URL; use ${examples}`);
  };
}

const PASSWORD_PARAMETER = /([?&](?:password|passwd|secret|token)=)[^&#]*/gi;

/** Whether the text is a URL that carries a password, as user information or as a parameter. */
export function carriesPassword(text: string): boolean {
  return text.split(/[?#]/).some((part) => passwordIn(part) !== undefined) || text.search(PASSWORD_PARAMETER) >= 0;
}

/** The text with a password in it masked, for messages. */
export function withoutPassword(text: string): string {
  const hidden = text.replace(/[^?#]+/g, (part) => {
    const found = passwordIn(part);
    return found === undefined ? part : `${part.slice(0, found.from)}***${part.slice(found.to)}`;
  });
  return hidden.replace(PASSWORD_PARAMETER, "$1***");
}

/**
 * Where the password of user information stands in what is before a URL's query: as far as the last @, because a password whose @ or / is not encoded must not
 * come into a log either.
 */
function passwordIn(part: string): { from: number; to: number } | undefined {
  const user = /\/\/[^/@:]*:/.exec(part);
  const to = part.lastIndexOf("@");
  const from = user === null ? part.length : user.index + user[0].length;
  return from <= to ? { from, to } : undefined;
}
