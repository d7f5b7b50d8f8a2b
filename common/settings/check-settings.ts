import type { Violation } from "../errors/nebula-error.ts";
import { formatDuration } from "./parse-duration.ts";
import { formatAddress, isLoopback } from "./parse-listen-address.ts";
import type { Command } from "./setting.ts";
import type { ListenAddress, Settings } from "./settings.ts";

/** What is wrong with settings that are each right by themselves. */
export function checkSettings(settings: Settings, command: Command, given: { user: boolean; password: boolean }): Violation[] {
  const violations: Violation[] = [];
  const refuse = (field: string, description: string) => violations.push({ field, description });

  if (command === "worker") {
    if (given.user !== given.password) {
      const [here, missing] = given.user ? ["NEBULA_USER", "NEBULA_PASSWORD"] : ["NEBULA_PASSWORD", "NEBULA_USER"];
      refuse(missing, `is needed beside ${here}`);
    }
  }
  if (command === "server" || command === "reporter") {
    const least = 2 * settings.reportIntervalMs;
    if (Number.isFinite(least) && settings.reportTtlMs < least) {
      refuse(
        "NEBULA_REPORT_TTL",
        `${formatDuration(settings.reportTtlMs)} is below twice NEBULA_REPORT_INTERVAL, so a device that is well could have no report: give at least ${formatDuration(least)}`,
      );
    }
  }
  if (command === "reporter" && settings.bus === "memory:") {
    refuse(
      "NEBULA_BUS",
      "memory: is within one process, in which no manager is, and this version has no driver for another bus: start nebula server, which has a reporter",
    );
  }
  violations.push(...tlsViolations(settings, command));
  if (!settings.authEnabled && !settings.insecureNoAuth) {
    for (const { variable, address } of listeners(settings, command)) {
      if (!isLoopback(address.host)) {
        refuse(
          "NEBULA_AUTH_ENABLED",
          `false makes everybody admin, and ${variable} ${formatAddress(address)} can be reached by others: listen on 127.0.0.1, or say --insecure-no-auth if you mean it`,
        );
      }
    }
  }
  return violations;
}

/** What is wrong with the files of TLS as they are named; what is in them is looked at when they are read. */
function tlsViolations({ tls, managers }: Settings, command: Command): Violation[] {
  const violations: Violation[] = [];
  const pair = (cert: string | undefined, key: string | undefined, name: string) => {
    if (cert !== undefined && key === undefined) violations.push({ field: `${name}_KEY`, description: `is needed beside ${name}_CERT` });
    if (cert === undefined && key !== undefined) violations.push({ field: `${name}_CERT`, description: `is needed beside ${name}_KEY` });
  };
  pair(tls.cert, tls.key, "NEBULA_TLS");
  pair(tls.clientCert, tls.clientKey, "NEBULA_TLS_CLIENT");
  if (tls.clientAuth !== "off" && tls.clientCa === undefined) {
    violations.push({
      field: "NEBULA_TLS_CLIENT_CA",
      description: `is needed for NEBULA_TLS_CLIENT_AUTH ${tls.clientAuth}: give the authorities of the clients' certificates`,
    });
  }
  if (tls.clientAuth !== "off" && tls.cert === undefined) {
    violations.push({ field: "NEBULA_TLS_CERT", description: "is needed where clients are to show certificates: without it there is no TLS" });
  }
  if (command === "server" && tls.clientAuth === "required" && managers.length === 0 && tls.clientCert === undefined) {
    violations.push({
      field: "NEBULA_TLS_CLIENT_CERT",
      description: "is needed, with NEBULA_TLS_CLIENT_KEY: this server's own gateway shows it to the manager, as every client has to",
    });
  }
  return violations;
}

/** What is allowed but worth a line at the start. */
export function settingsWarnings(settings: Settings, command: Command): string[] {
  if (settings.tls.cert !== undefined) return [];
  const open = listeners(settings, command).filter(({ address }) => !isLoopback(address.host));
  if (open.length === 0) return [];
  const where = open.map(({ variable, address }) => `${variable} ${formatAddress(address)}`).join(" and ");
  return [`others can reach ${where}, and there is no TLS: passwords and tokens travel in clear text`];
}

/** The addresses, of the API, that a command listens on. */
function listeners(settings: Settings, command: Command): { variable: string; address: ListenAddress }[] {
  const http = { variable: "NEBULA_HTTP_LISTEN", address: settings.httpListen };
  const grpc = { variable: "NEBULA_GRPC_LISTEN", address: settings.grpcListen };
  switch (command) {
    case "server":
      return [http, grpc];
    case "gateway":
      return [http];
    case "manager":
      return [grpc];
    default:
      return [];
  }
}
