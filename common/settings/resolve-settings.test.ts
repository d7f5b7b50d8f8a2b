import { strict as assert } from "node:assert";
import fc from "fast-check";
import { isNebulaError, type NebulaError } from "../errors/nebula-error.ts";
import { type ResolvedSettings, resolveSettings, type SettingsInput, settingFlags } from "./resolve-settings.ts";
import { COMMANDS, keyOf, usedBy } from "./setting.ts";
import { ALL_SETTINGS, SETTINGS } from "./settings-table.ts";

type Given = Partial<SettingsInput> & { files?: Record<string, string> };

function resolve({ files = {}, ...input }: Given = {}): ResolvedSettings {
  return resolveSettings({
    command: "server",
    args: [],
    env: {},
    readFile: (path) => {
      const text = files[path];
      if (text === undefined) throw new Error(`ENOENT: ${path}`);
      return text;
    },
    ...input,
  });
}

/** A worker with what it can't be without. */
function worker(input: Given = {}): ResolvedSettings {
  return resolve({ command: "worker", ...input, env: { NEBULA_DEVICE_GROUP: "pos", ...input.env } });
}

function refusal(input: Given): NebulaError {
  try {
    resolve(input);
  } catch (error) {
    assert.ok(isNebulaError(error, "invalid_argument"), String(error));
    return error;
  }
  return assert.fail("nothing was refused");
}

function fields(error: NebulaError): string[] {
  return error.violations.map(({ field }) => field);
}

describe("settings", () => {
  it("settings have their defaults where no value is given", () => {
    const { settings, warnings } = resolve();
    assert.deepEqual(settings.httpListen, { host: "127.0.0.1", port: 8080 });
    assert.deepEqual(settings.metricsListen, { host: "127.0.0.1", port: 9464, given: false });
    assert.equal(settings.cacheTimeMs, 10_000);
    assert.equal(settings.reportTtlMs, 26 * 3_600_000);
    assert.equal(settings.store, "sqlite:");
    assert.equal(settings.reports, "sqlite:");
    assert.deepEqual(settings.admin, { user: "admin", password: undefined, token: undefined });
    assert.deepEqual(warnings, []);
  });

  it("settings come from a flag before a variable before an older name before the file", () => {
    const files = { "nebula.yaml": "cache_time: 4s" };
    const env = { NEBULA_CONFIG: "nebula.yaml", CACHE_TIME: "3", NEBULA_CACHE_TIME: "2s" };
    assert.equal(resolve({ files, env, args: ["--cache-time", "1s"] }).settings.cacheTimeMs, 1000);
    assert.equal(resolve({ files, env }).settings.cacheTimeMs, 2000);
    assert.equal(resolve({ files, env: { ...env, NEBULA_CACHE_TIME: "" } }).settings.cacheTimeMs, 3000);
    assert.equal(resolve({ files, env: { NEBULA_CONFIG: "nebula.yaml" } }).settings.cacheTimeMs, 4000);
    assert.equal(resolve({ files: { other: "cache_time: 5s" }, env, args: ["--config=other", "--cache-time=5s"] }).settings.cacheTimeMs, 5000);
  });

  it("settings take the names that workers of v2 are given", () => {
    const { settings } = resolve({
      command: "worker",
      env: {
        NEBULA_MANAGER_HOST: "nebula.example.com",
        NEBULA_MANAGER_PORT: "8000",
        NEBULA_MANAGER_PROTOCOL: "https",
        NEBULA_MANAGER_AUTH_USER: "device",
        NEBULA_MANAGER_AUTH_PASSWORD: "secret",
        DEVICE_GROUP: "pos",
        MAX_RESTART_WAIT_IN_SECONDS: "90",
        REPORT_ON_UPDATE_ONLY: "True",
      },
    });
    assert.deepEqual(settings.server, { protocol: "https", host: "nebula.example.com", port: 8000 });
    assert.deepEqual(settings.credentials, { kind: "password", user: "device", password: "secret" });
    assert.equal(settings.deviceGroup, "pos");
    assert.equal(settings.maxRestartWaitMs, 90_000);
    assert.equal(settings.reportIntervalMs, Number.POSITIVE_INFINITY);
    assert.deepEqual(worker({ env: { NEBULA_MANAGER_HOST: "old" } }).settings.server, { protocol: "http", host: "old", port: 80 });
    assert.equal(worker({ env: { REPORT_ON_UPDATE_ONLY: "False" } }).settings.reportIntervalMs, 12 * 3_600_000);
  });

  it("settings take the names that managers and reporters of v2 are given", () => {
    const env = {
      BASIC_AUTH_USER: "root",
      BASIC_AUTH_PASSWORD: "password",
      AUTH_TOKEN: "tok",
      AUTH_ENABLED: "false",
      CACHE_TIME: "20",
      CACHE_MAX_SIZE: "99",
    };
    const { settings } = resolve({ env });
    assert.deepEqual(settings.admin, { user: "root", password: "password", token: "tok" });
    assert.equal(settings.authEnabled, false);
    assert.equal(settings.cacheTimeMs, 20_000);
    const kafka = { KAFKA_BOOTSTRAP_SERVERS: "a:9092,b:9092", KAFKA_TOPIC: "reports" };
    assert.equal(resolve({ command: "reporter", env: kafka }).settings.bus, "kafka://a:9092,b:9092/reports");
    const sasl = { KAFKA_SECURITY_PROTOCOL: "SASL_SSL", KAFKA_SASL_MECHANISM: "PLAIN", KAFKA_SASL_PLAIN_USERNAME: "old" };
    const files = { KAFKA_SASL_PLAIN_PASSWORD: "hunter2", KAFKA_SSL_CAFILE: "ca.pem", KAFKA_SSL_CERTFILE: "cert.pem", KAFKA_SSL_KEYFILE: "key.pem" };
    const { bus, backends } = resolve({ command: "reporter", env: { KAFKA_BOOTSTRAP_SERVERS: "a:9092, b:9092", ...sasl, ...files } }).settings;
    assert.equal(bus, "kafka://a:9092,b:9092/nebula-reports?tls=true&user=old&mechanism=PLAIN");
    assert.deepEqual(backends.bus, { password: "hunter2", ca: "ca.pem", cert: "cert.pem", key: "key.pem" });
  });

  it("settings end the start where the admin's password is below 8 bytes, under any of its names, and do not repeat it", () => {
    const short = "\u00e9\u00e9\u00e91"; // 7 bytes
    const files = { "/run/password": `${short}\n`, "nebula.yaml": "admin_password: hunter2" };
    const cases = [
      { env: { NEBULA_ADMIN_PASSWORD: short }, field: "NEBULA_ADMIN_PASSWORD" },
      { env: { BASIC_AUTH_PASSWORD: "hunter2" }, field: "BASIC_AUTH_PASSWORD" },
      { env: { NEBULA_ADMIN_PASSWORD_FILE: "/run/password" }, field: "NEBULA_ADMIN_PASSWORD_FILE" },
      { env: { NEBULA_CONFIG: "nebula.yaml" }, field: "nebula.yaml: admin_password" },
    ];
    for (const { env, field } of cases) {
      const error = refusal({ env, files });
      assert.deepEqual(fields(error), [field]);
      assert.match(error.message, /is too short; use at least 8 bytes/);
      assert.doesNotMatch(error.message, /hunter2|\u00e9/);
    }
    assert.equal(resolve({ env: { NEBULA_ADMIN_PASSWORD: `${short}2` } }).settings.admin.password, `${short}2`);
  });

  it("settings refuse a secret whose bytes were not UTF-8, and do not repeat it", () => {
    for (const name of ["NEBULA_ADMIN_PASSWORD", "NEBULA_ADMIN_TOKEN", "NEBULA_CLUSTER_KEY"]) {
      const error = refusal({ env: { [name]: "p\uFFFDsky-long-enough" } });
      assert.deepEqual(fields(error), [name]);
      assert.match(error.message, /not UTF-8/);
      assert.doesNotMatch(error.message, /sky/);
    }
  });

  it("settings read a token from a file that a flag, a variable or the settings file names, without its line break", () => {
    const files = { "/run/token": "abc123\n", "nebula.yaml": "token_file: /run/token" };
    for (const input of [
      { args: ["--token-file", "/run/token"] },
      { env: { NEBULA_TOKEN_FILE: "/run/token" } },
      { args: ["--config", "nebula.yaml"] },
    ]) {
      assert.deepEqual(worker({ files, ...input }).settings.credentials, { kind: "token", token: "abc123" });
    }
    assert.deepEqual(fields(refusal({ command: "worker", env: { NEBULA_DEVICE_GROUP: "pos" }, args: ["--token-file", "/nowhere"] })), [
      "--token-file",
    ]);
  });

  it("settings report each invalid value at once, with its name, its value and an example", () => {
    const error = refusal({
      args: ["--cache-time", "soon", "--http-listen", "8080", "--colour", "red", "stray"],
      env: { NEBULA_REDIRECT: "maybe", NEBULA_CONFIG: "nebula.yaml" },
      files: { "nebula.yaml": "report_ttl: [a, {b: c}]\ncash_time: 10s\n" },
    });
    assert.deepEqual(fields(error).toSorted(), [
      "--cache-time",
      "--colour",
      "--http-listen",
      "NEBULA_REDIRECT",
      "nebula.yaml: cash_time",
      "nebula.yaml: report_ttl",
      "stray",
    ]);
    assert.match(error.message, /--cache-time: "soon" is not a duration; use a number with a unit, such as 10s/);
    assert.match(error.message, /cash_time: is not a known setting: did you mean cache_time\?/);
  });

  it("an unknown setting is refused with the nearest flag, the command that has it, or the variable", () => {
    assert.match(refusal({ args: ["--cachetime", "1s"] }).message, /did you mean --cache-time\?/);
    assert.match(refusal({ args: ["--device-group", "pos"] }).message, /is a flag of nebula worker, not of nebula server/);
    assert.match(refusal({ args: ["--admin-password", "x"] }).message, /is not a flag; use NEBULA_ADMIN_PASSWORD/);
    assert.match(refusal({ args: ["--store"] }).message, /--store: needs a value/);
  });

  it("a switch is given alone, with a value after it, or joined to it", () => {
    assert.equal(resolve({ args: ["--redirect", "off", "--cache-time", "2s"] }).settings.redirect, false);
    assert.equal(resolve({ args: ["--redirect=no"] }).settings.redirect, false);
    assert.equal(resolve({ args: ["--insecure-no-auth", "--auth-enabled", "false", "--http-listen", "0.0.0.0:80"] }).settings.insecureNoAuth, true);
  });

  it("settings refuse a flag with a password, and never repeat one", () => {
    for (const url of ["redis://user:hunter2@host:6379", "cassandra://host/nebula?user=u&password=hunter2"]) {
      const flag = url.startsWith("redis") ? "--redis" : "--store";
      const error = refusal({ args: [flag, url] });
      assert.match(error.message, /carries a password, which the process list shows: give it as NEBULA_/);
      assert.doesNotMatch(error.message, /hunter2/);
    }
    assert.equal(resolve({ env: { NEBULA_REDIS: "redis://user:hunter2@host:6379" } }).settings.redis, "redis://user:hunter2@host:6379");
    assert.doesNotMatch(refusal({ env: { NEBULA_REDIS: "amqp://user:hunter2/@host:6379" } }).message, /hunter2/);
    assert.doesNotMatch(refusal({ env: { NEBULA_CLUSTER_KEY: "hunter2" } }).message, /hunter2/);
  });

  it("settings refuse a history of reports that is shorter than two reports are apart", () => {
    assert.deepEqual(fields(refusal({ env: { NEBULA_REPORT_TTL: "23h" } })), ["NEBULA_REPORT_TTL"]);
    assert.equal(resolve({ env: { NEBULA_REPORT_TTL: "24h" } }).settings.reportTtlMs, 24 * 3_600_000);
    assert.equal(resolve({ env: { NEBULA_REPORT_TTL: "2m", NEBULA_REPORT_INTERVAL: "off" } }).settings.reportTtlMs, 120_000);
  });

  it("settings refuse to make every caller admin where others can call, unless that is confirmed", () => {
    assert.equal(resolve({ env: { AUTH_ENABLED: "false" } }).settings.authEnabled, false);
    const env = { AUTH_ENABLED: "false", NEBULA_GRPC_LISTEN: "0.0.0.0:50051" };
    assert.deepEqual(fields(refusal({ env })), ["AUTH_ENABLED"], "by the name that was given");
    assert.equal(resolve({ env, args: ["--insecure-no-auth"] }).settings.authEnabled, false);
    assert.equal(resolve({ command: "gateway", env: { ...env, NEBULA_HTTP_LISTEN: "[::1]:80" } }).settings.authEnabled, false);
  });

  it("settings warn once of an address that others can reach, and of a misspelt variable", () => {
    const { warnings } = resolve({
      env: { NEBULA_HTTP_LISTEN: "0.0.0.0:8080", NEBULA_GRPC_LISTEN: "[::]:50051", NEBULA_KEEP_ALIVE: "1m", NEBULA_PORT: "tcp://1" },
    });
    assert.equal(warnings.length, 2);
    assert.match(warnings[0] ?? "", /NEBULA_HTTP_LISTEN 0\.0\.0\.0:8080 and NEBULA_GRPC_LISTEN \[::\]:50051/);
    assert.match(warnings[1] ?? "", /NEBULA_KEEP_ALIVE is not a known setting: did you mean NEBULA_KEEPALIVE\?/);
  });

  it("settings require a password beside a user", () => {
    assert.deepEqual(fields(refusal({ command: "worker", env: { NEBULA_DEVICE_GROUP: "pos", NEBULA_USER: "u" } })), ["NEBULA_PASSWORD"]);
    assert.equal(worker().settings.metricsListen, undefined);
    assert.deepEqual(worker({ env: { NEBULA_METRICS_LISTEN: "127.0.0.1:9465" } }).settings.metricsListen, {
      host: "127.0.0.1",
      port: 9465,
      given: true,
    });
  });

  it("settings that the command does not use are not read", () => {
    assert.equal(worker({ env: { NEBULA_STORE: "nonsense", NEBULA_BUS: "nonsense" } }).settings.store, "sqlite:");
  });

  it("settings have the same value from every source, for any whole number of seconds", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3600 }), fc.constantFrom("flag", "variable", "file", "older"), (seconds, source) => {
        const text = `${seconds}s`;
        const given: Record<typeof source, Given> = {
          flag: { args: ["--cache-time", text] },
          variable: { env: { NEBULA_CACHE_TIME: text } },
          file: { env: { NEBULA_CONFIG: "f" }, files: { f: `cache_time: ${text}` } },
          older: { env: { CACHE_TIME: `${seconds}` } },
        };
        assert.equal(resolve(given[source]).settings.cacheTimeMs, seconds * 1000);
      }),
    );
  });

  it("settings either resolve or name what is invalid, for any input", () => {
    const names = ALL_SETTINGS.flatMap(({ variable, aliases }) => [variable, ...aliases.flatMap(({ variables }) => variables)]);
    const flags = settingFlags("server").map(({ name }) => `--${name}`);
    const word = fc.oneof(fc.string(), fc.constantFrom("off", "10s", "0.0.0.0:1", "memory:", "http://h", "--", "=", "-1", ...flags));
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom(...names), word),
        fc.array(word),
        fc.constantFrom(...COMMANDS),
        fc.string(),
        (env, args, command, yaml) => {
          try {
            resolve({ command, env: { ...env, NEBULA_CONFIG: "f" }, args, readFile: () => yaml });
          } catch (error) {
            assert.ok(isNebulaError(error, "invalid_argument"), String(error));
            assert.ok(error.violations.length > 0);
          }
        },
      ),
    );
  });
});

describe("the table of settings", () => {
  it("the table of settings has no name twice within a command", () => {
    const twice = (names: readonly string[]) => names.filter((name, index) => names.indexOf(name) !== index);
    assert.deepEqual(twice(ALL_SETTINGS.map(keyOf)), []);
    assert.deepEqual(twice(ALL_SETTINGS.flatMap(({ variable, aliases }) => [variable, ...aliases.flatMap(({ variables }) => variables)])), []);
    for (const command of COMMANDS) assert.deepEqual(twice(settingFlags(command).map(({ name }) => name)), [], command);
  });

  it("the table of settings gives a secret no flag but one that names a file", () => {
    for (const { secret, flag } of ALL_SETTINGS) if (secret) assert.ok(flag === undefined || flag.endsWith("-file"), String(flag));
  });

  it("the table of settings has a part for every setting", () => {
    for (const setting of ALL_SETTINGS)
      assert.ok(
        COMMANDS.some((command) => usedBy(setting, command)),
        setting.variable,
      );
    assert.ok(usedBy(SETTINGS.cacheTime, "server"));
  });
});

describe("settings of TLS", () => {
  const server = { NEBULA_TLS_CERT: "server.pem", NEBULA_TLS_KEY: "server.key" };
  const clients = { NEBULA_TLS_CLIENT_CA: "clients.pem", NEBULA_TLS_CLIENT_CERT: "own.pem", NEBULA_TLS_CLIENT_KEY: "own.key" };

  it("TLS is off by default, and requires client certificates where their authorities are given", () => {
    assert.equal(resolve().settings.tls.clientAuth, "off");
    assert.equal(resolve({ env: server }).settings.tls.clientAuth, "off");
    assert.equal(resolve({ env: { ...server, ...clients } }).settings.tls.clientAuth, "required");
    assert.equal(resolve({ env: { ...server, ...clients, NEBULA_TLS_CLIENT_AUTH: "optional" } }).settings.tls.clientAuth, "optional");
  });

  it("an incomplete setting of TLS is refused with the name of the missing one", () => {
    assert.deepEqual(fields(refusal({ env: { NEBULA_TLS_CERT: "a" } })), ["NEBULA_TLS_KEY"]);
    assert.deepEqual(fields(refusal({ env: { NEBULA_TLS_KEY: "a" } })), ["NEBULA_TLS_CERT"]);
    assert.deepEqual(fields(refusal({ env: { ...server, NEBULA_TLS_CLIENT_AUTH: "optional" } })), ["NEBULA_TLS_CLIENT_CA"]);
    assert.deepEqual(fields(refusal({ command: "manager", env: { NEBULA_TLS_CLIENT_CA: "a" } })), ["NEBULA_TLS_CERT"]);
    const workerEnv = { NEBULA_DEVICE_GROUP: "pos", NEBULA_TLS_CLIENT_CERT: "a" };
    assert.deepEqual(fields(refusal({ command: "worker", env: workerEnv })), ["NEBULA_TLS_CLIENT_KEY"]);
  });

  it("a gateway that dials a manager of its own process requires a certificate", () => {
    const env = { ...server, NEBULA_TLS_CLIENT_CA: "clients.pem" };
    assert.deepEqual(fields(refusal({ env })), ["NEBULA_TLS_CLIENT_CERT"]);
    assert.deepEqual(resolve({ command: "manager", env }).settings.tls.clientCa, "clients.pem");
  });

  it("TLS on all listeners leaves no warning of clear text", () => {
    const env = { NEBULA_GRPC_LISTEN: "0.0.0.0:50051" };
    assert.match(resolve({ env }).warnings.join(), /clear text/);
    assert.deepEqual(resolve({ env: { ...env, ...server } }).warnings, []);
  });
});
