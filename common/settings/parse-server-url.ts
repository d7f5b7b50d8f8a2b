import { withoutPassword } from "./parse-driver-url.ts";
import { type Parsed, value, wrong } from "./parsed.ts";
import type { ServerUrl } from "./settings.ts";

const DEFAULT_PORT: Readonly<Record<ServerUrl["protocol"], number>> = { http: 80, https: 443, grpc: 50051, grpcs: 50051 };

/** Parses `http(s)://host[:port]` (a gateway) or `grpc(s)://host[:port]` (a manager). Default ports: 80, 443, 50051. */
export function parseServerUrl(text: string): Parsed<ServerUrl> {
  const hint = "give http://host:port of a gateway, or grpc://host:port of a manager";
  const [, scheme = "", rest = ""] = /^([a-z]+):\/\/(.*)$/.exec(text) ?? [];
  const protocol = protocolFrom(scheme);
  if (protocol === undefined) return wrong(`is no URL of a server: ${hint}`);
  if (rest.includes("@")) return wrong("carries a login: give that as NEBULA_USER and NEBULA_PASSWORD, or as NEBULA_TOKEN");
  const [, bracketed, bare, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:/?#\s[\]]+))(?::(\d{1,5}))?\/?$/.exec(rest) ?? [];
  const host = bracketed ?? bare;
  if (host === undefined) return wrong(`is no URL of a server: ${hint}, without a path`);
  const port = digits === undefined ? DEFAULT_PORT[protocol] : Number(digits);
  return port >= 1 && port <= 65_535 ? value({ protocol, host, port }) : wrong("has a port that is not within 1 to 65535");
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
    if (!parsed.value.protocol.startsWith("grpc"))
      return wrong(`holds ${withoutPassword(part)}: managers are dialled by gRPC, give grpc://host:port`);
    managers.push(parsed.value);
  }
  return managers.length > 0 ? value(managers) : wrong("names no manager: give grpc://host:port, several separated by commas");
}
