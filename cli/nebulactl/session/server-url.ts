import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { ServerUrl } from "../../../common/settings/settings.ts";
import { parseServerUrl } from "../../../common/settings/urls.ts";

/** The default server. */
export const DEFAULT_SERVER: ServerUrl = { protocol: "http", host: "127.0.0.1", port: 8080 };

/**
 * Parses `http://gateway:8080` or `grpcs://manager`; a bare `host:port` is a gateway over http.
 * @param name how errors name the value: `--server`
 */
export function readServerUrl(text: string, name: string): ServerUrl {
  const parsed = parseServerUrl(text.includes("://") ? text : `http://${text}`);
  if (parsed.kind === "value") return parsed.value;
  const shown = text.replace(/\/\/[^/]*@/, "//...@"); // errors must not repeat a login in the URL
  throw new NebulaError("invalid_argument", `${name} "${shown}" ${parsed.problem}`);
}

export function formatServerUrl({ protocol, host, port }: ServerUrl): string {
  return `${protocol}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

export function sameServer(a: ServerUrl, b: ServerUrl): boolean {
  return formatServerUrl(a) === formatServerUrl(b);
}
