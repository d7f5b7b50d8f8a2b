import type { Violation } from "../errors/nebula-error.ts";
import { formatAddress, isLoopback } from "../net/address.ts";
import { nearestName } from "../text/wording.ts";
import { formatDuration } from "./parsers.ts";
import { COMMANDS, type Command, type Environment, keyOf, usedBy } from "./setting.ts";
import type { ListenAddress, Settings } from "./settings.ts";
import { ALL_SETTINGS, SETTINGS } from "./settings-table.ts";
import type { FlagName } from "./sources.ts";

/** Checks settings, each of which is valid by itself, against each other. */
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
      "memory: stays within one process, which has no manager; use kafka://host:9092/nebula-reports, or start nebula server, which has a reporter",
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

/** Returns the faults of the files of TLS as they are named; their contents are checked when they are read. */
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

/** Warnings to log at the start of settings that are valid. */
export function settingsWarnings(settings: Settings, command: Command): string[] {
  if (settings.tls.cert !== undefined) return [];
  const open = listeners(settings, command).filter(({ address }) => !isLoopback(address.host));
  if (open.length === 0) return [];
  const where = open.map(({ variable, address }) => `${variable} ${formatAddress(address)}`).join(" and ");
  return [`others can reach ${where}, and there is no TLS: passwords and tokens travel in clear text`];
}

/** The addresses of the API on which a command listens. */
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

/** The violation of a flag that a command does not have. */
export function unknownFlag(name: string, command: Command, known: readonly FlagName[]): string {
  const setting = ALL_SETTINGS.find(({ flag }) => flag === name);
  if (setting !== undefined) {
    const commands = COMMANDS.filter((other) => usedBy(setting, other));
    return `is a flag of nebula ${commands.join(", nebula ")}, not of nebula ${command}`;
  }
  const asVariable = ALL_SETTINGS.find((other) => other.flag === undefined && keyOf(other) === name.replaceAll("-", "_"));
  if (asVariable !== undefined) return `is not a flag; use ${asVariable.variable}`;
  const nearest = nearestName(
    name,
    known.map((flag) => flag.name),
  );
  return `is not a flag of nebula ${command}${nearest === undefined ? `: see nebula ${command} --help` : `: did you mean --${nearest}?`}`;
}

/** The violation of a key of the settings file; undefined if it is known. */
export function unknownKey(key: string): string | undefined {
  const keys = ALL_SETTINGS.filter((setting) => setting !== SETTINGS.config).flatMap((setting) =>
    setting.secret ? [keyOf(setting), `${keyOf(setting)}_file`] : [keyOf(setting)],
  );
  if (keys.includes(key)) return undefined;
  const nearest = nearestName(key, keys);
  return `is not a known setting${nearest === undefined ? "" : `: did you mean ${nearest}?`}`;
}

/** Warnings of variables that look like a misspelt one of ours. No errors: a cluster manager derives variables from the names of services. */
export function misspelledVariables(env: Environment): string[] {
  const known = new Set(
    ALL_SETTINGS.flatMap((setting) => [setting.variable, `${setting.variable}_FILE`, ...setting.aliases.flatMap(({ variables }) => variables)]),
  );
  const suffixes = ALL_SETTINGS.map(({ variable }) => variable.slice("NEBULA_".length));
  return Object.keys(env).flatMap((name) => {
    if (!name.startsWith("NEBULA_") || known.has(name)) return [];
    const nearest = nearestName(name.slice("NEBULA_".length), suffixes);
    return nearest === undefined ? [] : [`${name} is not a known setting: did you mean NEBULA_${nearest}?`];
  });
}
