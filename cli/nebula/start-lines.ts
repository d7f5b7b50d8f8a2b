import { assertNever } from "../../common/errors/assert-never.ts";
import { formatAddress } from "../../common/settings/parse-listen-address.ts";
import type { Secrets } from "../../common/settings/secrets.ts";
import type { ListenAddress, Settings } from "../../common/settings/settings.ts";
import { VERSION } from "../../common/version.ts";

export type Started = Readonly<{
  settings: Pick<Settings, "admin" | "authEnabled"> & Readonly<{ tls: Pick<Settings["tls"], "cert"> }>;
  http: ListenAddress | undefined;
  /** host:port */
  grpc: string | undefined;
  metrics: ListenAddress | undefined;
  secrets: Pick<Secrets, "adminPassword" | "passwordFile"> | undefined;
  terminal: boolean;
}>;

/** What a start tells: where things are, and how to log in. A password is shown to a terminal alone, and only by the start that made it. */
export function startLines({ settings, http, grpc, metrics, secrets, terminal }: Started): string[] {
  const rows: [string, string][] = [];
  const secure = settings.tls.cert !== undefined;
  if (http !== undefined) rows.push(["API, as JSON over HTTP", `${secure ? "https" : "http"}://${formatAddress(http)}`]);
  if (grpc !== undefined) rows.push(["API, as gRPC, and workers", secure ? `grpcs://${grpc}` : grpc]);
  if (metrics !== undefined) rows.push(["figures", `http://${formatAddress(metrics)}/metrics`]);
  if (secrets !== undefined) rows.push(["login", loginLine(loginOf(settings, secrets, terminal))]);
  const width = Math.max(0, ...rows.map(([name]) => name.length));
  return [`Nebula ${VERSION} is up.`, ...rows.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`)];
}

type Login = Readonly<
  | { kind: "off" }
  | { kind: "given"; user: string }
  | { kind: "shown"; user: string; password: string; path: string }
  | { kind: "kept"; user: string; path: string }
>;

function loginOf(
  { admin, authEnabled }: Started["settings"],
  { adminPassword, passwordFile }: NonNullable<Started["secrets"]>,
  terminal: boolean,
): Login {
  if (!authEnabled) return { kind: "off" };
  if (passwordFile === undefined) return { kind: "given", user: admin.user };
  const { path, made } = passwordFile;
  return made && terminal ? { kind: "shown", user: admin.user, password: adminPassword, path } : { kind: "kept", user: admin.user, path };
}

function loginLine(login: Login): string {
  switch (login.kind) {
    case "off":
      return "none: everybody is admin";
    case "given":
      return `${login.user}, with the password that was given`;
    case "shown":
      return `${login.user}, password ${login.password} (shown this once; kept in ${login.path})`;
    case "kept":
      return `${login.user}, password in ${login.path}`;
    default:
      return assertNever(login);
  }
}
