import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { parseServerUrl } from "../../../common/settings/parse-server-url.ts";
import type { ServerUrl } from "../../../common/settings/settings.ts";

/** Where a server is expected when nothing says otherwise. */
export const DEFAULT_SERVER: ServerUrl = { protocol: "http", host: "127.0.0.1", port: 8080 };

/**
 * Reads `http://gateway:8080`, `grpcs://manager`; a bare `host:port` is a gateway over http.
 * @param name what to call the value in an error: `--server`
 */
export function readServerUrl(text: string, name: string): ServerUrl {
  const parsed = parseServerUrl(text.includes("://") ? text : `http://${text}`);
  if (parsed.kind === "value") return parsed.value;
  const shown = text.replace(/\/\/[^/]*@/, "//...@"); // a login in it is not repeated
  throw new NebulaError("invalid_argument", `${name} "${shown}" ${parsed.problem}`);
}

export function formatServerUrl({ protocol, host, port }: ServerUrl): string {
  return `${protocol}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

export function sameServer(a: ServerUrl, b: ServerUrl): boolean {
  return formatServerUrl(a) === formatServerUrl(b);
}
