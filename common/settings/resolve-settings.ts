import type { Credentials } from "../access/authorization.ts";
import { NebulaError, type Violation } from "../errors/nebula-error.ts";
import { systemReason } from "../errors/system-reason.ts";
import { checkSettings, misspelledVariables, settingsWarnings, unknownFlag, unknownKey } from "./checks.ts";
import { parseBool } from "./parsers.ts";
import { type Command, type Environment, usedBy } from "./setting.ts";
import type { Settings } from "./settings.ts";
import { ALL_SETTINGS, SETTINGS } from "./settings-table.ts";
import { type FlagName, readFlags, readSettingsFile, SettingReader } from "./sources.ts";

export type SettingsInput = Readonly<{
  command: Command;
  /** The arguments that follow the command. */
  args: readonly string[];
  env: Environment;
  /** Reads a text file; throws where it can't be read. */
  readFile: (path: string) => string;
  /** Flags of the command itself that are no settings. */
  ownFlags?: readonly FlagName[];
}>;

export type ResolvedSettings = Readonly<{
  settings: Settings;
  /** The command's own flags that were given. */
  own: ReadonlyMap<string, string>;
  /** An error's text with the names by which settings were given: `--data` for NEBULA_DATA, by which the parts know it. */
  asGiven: (text: string) => string;
  /** Warnings of settings that are allowed but look unintended, one sentence each. */
  warnings: readonly string[];
}>;

/**
 * Resolves every setting of a command: flag before variable before older name before settings file before default.
 * @throws NebulaError `invalid_argument` whose message and violations name each invalid setting with its value and what to use
 */
export function resolveSettings({ command, args, env, readFile, ownFlags = [] }: SettingsInput): ResolvedSettings {
  const known = [...settingFlags(command), ...ownFlags];
  const { flags, violations: wrongFlags } = readFlags(args, known, isBool, (name) => unknownFlag(name, command, known));
  const inFlag = flags.get("config");
  const file = openFile(inFlag === undefined ? "NEBULA_CONFIG" : "--config", inFlag ?? nonEmpty(env.NEBULA_CONFIG), readFile);
  const reader = new SettingReader({ command, flags, env, file, readFile });
  const { settings, given } = readAll(reader, command);
  const violations = [...wrongFlags, ...file.violations, ...reader.violations];
  // A setting that was given wrongly stands at its default: a check of one against the other would complain of what nobody wrote.
  const asGiven = (text: string) => text.replace(/\bNEBULA_[A-Z_]+\b/g, (variable) => reader.labels.get(variable) ?? variable);
  if (violations.length === 0) {
    const found = checkSettings(settings, command, given);
    violations.push(...found.map(({ field, description }) => ({ field: asGiven(field), description: asGiven(description) })));
  }
  if (violations.length > 0) throw wrongSettings(violations);
  const own = new Map(ownFlags.flatMap(({ name }) => (flags.has(name) ? [[name, flags.get(name) ?? ""]] : [])));
  return { settings, own, asGiven, warnings: [...settingsWarnings(settings, command).map(asGiven), ...misspelledVariables(env)] };
}

function readAll(reader: SettingReader, command: Command): { settings: Settings; given: { user: boolean; password: boolean } } {
  const read = <Name extends keyof typeof SETTINGS>(name: Name) => reader.read<(typeof SETTINGS)[Name]["fallback"]>(SETTINGS[name]).value;
  const metrics = reader.read(SETTINGS.metricsListen);
  const [user, password, token, store] = [read("user"), read("password"), read("token"), read("store")];
  const clientCa = read("tlsClientCa");
  const metricsOn = metrics.value !== undefined && (metrics.given || command !== "worker");
  const settings: Settings = {
    httpListen: read("httpListen"),
    dashboard: read("dashboard"),
    metricsListen: metrics.value !== undefined && metricsOn ? { ...metrics.value, given: metrics.given } : undefined,
    grpcListen: read("grpcListen"),
    grpcAdvertise: read("grpcAdvertise"),
    shard: read("shard"),
    managers: read("managers"),
    redirect: read("redirect"),
    dataDir: read("data"),
    admin: { user: read("adminUser"), password: read("adminPassword"), token: read("adminToken") },
    clusterKey: read("clusterKey"),
    newClusterKey: read("newClusterKey"),
    store,
    reports: read("reports") ?? store,
    redis: read("redis"),
    bus: read("bus"),
    drainMs: read("drain"),
    backends: {
      store: { password: read("storePassword"), ca: read("storeCa") },
      reports: { password: read("reportsPassword") ?? read("storePassword"), ca: read("reportsCa") ?? read("storeCa") },
      redis: { password: read("redisPassword"), ca: read("redisCa") },
      bus: { password: read("busPassword"), ca: read("busCa"), cert: read("busCert"), key: read("busKey") },
    },
    cacheTimeMs: read("cacheTime"),
    server: read("server"),
    credentials: credentialsOf(token, user, password),
    deviceGroup: read("deviceGroup"),
    deviceId: read("deviceId"),
    instance: read("instance"),
    keepaliveMs: read("keepalive"),
    reportIntervalMs: read("reportInterval"),
    maxDevicesPerGroup: read("maxDevicesPerGroup"),
    reportTtlMs: read("reportTtl"),
    auditRetentionMs: read("auditRetention"),
    sessionTtlMs: read("sessionTtl"),
    runtime: read("runtime"),
    adopt: read("adopt"),
    takeOver: read("takeOver"),
    keepImages: read("keepImages"),
    maxRestartWaitMs: read("maxRestartWait"),
    authEnabled: read("authEnabled"),
    insecureNoAuth: read("insecureNoAuth"),
    enrollToken: read("enrollToken"),
    tokenRotationMs: read("tokenRotation"),
    workerDataDir: read("workerData"),
    tls: {
      cert: read("tlsCert"),
      key: read("tlsKey"),
      clientCa,
      clientAuth: read("tlsClientAuth") ?? (clientCa === undefined ? "off" : "required"),
      ca: read("tlsCa"),
      clientCert: read("tlsClientCert"),
      clientKey: read("tlsClientKey"),
    },
    grpcConnections: { inAll: read("grpcConnections"), perAddress: read("grpcConnectionsPerAddress") },
    httpConnections: { inAll: read("httpConnections"), perAddress: read("httpConnectionsPerAddress") },
    logLevel: read("logLevel"),
    logFormat: read("logFormat"),
  };
  return { settings, given: { user: user !== undefined, password: password !== undefined } };
}

function credentialsOf(token: string | undefined, user: string | undefined, password: string | undefined): Credentials | undefined {
  if (token !== undefined) return { kind: "token", token };
  return user !== undefined && password !== undefined ? { kind: "password", user, password } : undefined;
}

/** The flags of the settings that a command uses. */
export function settingFlags(command: Command): FlagName[] {
  return ALL_SETTINGS.filter((setting) => usedBy(setting, command)).flatMap(({ flag, switch: isSwitch }) =>
    flag === undefined ? [] : [{ name: flag, switch: isSwitch }],
  );
}

function isBool(word: string): boolean {
  return parseBool(word).kind === "value";
}

type OpenedFile = Readonly<{ path: string; values: ReadonlyMap<string, string>; violations: readonly Violation[] }>;

function openFile(label: string, path: string | undefined, readFile: (path: string) => string): OpenedFile {
  if (path === undefined) return { path: "", values: new Map(), violations: [] };
  try {
    return { path, ...readSettingsFile(path, readFile(path), unknownKey) };
  } catch (error) {
    return { path, values: new Map(), violations: [{ field: label, description: `${path} can't be read: ${systemReason(error)}` }] };
  }
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

function wrongSettings(violations: readonly Violation[]): NebulaError {
  const lines = violations.map(({ field, description }) => `${field}: ${description}`);
  return new NebulaError("invalid_argument", lines.join("\n"), { violations });
}
