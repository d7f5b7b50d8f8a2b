import { strict as assert } from "node:assert";
import { create, fromBinary, type MessageInitShape, toBinary, type UnknownEnum } from "@bufbuild/protobuf";
import { type App, AppSchema, PortProtocol } from "../../gen/nebula/v1/app_pb.ts";
import { sealValue } from "../secrets/seal-value.ts";
import { deriveSecretKeys } from "../secrets/secret-keys.ts";
import { cpuMs } from "../testing/cpu-time.ts";
import { validateApp } from "./app.ts";
import { normaliseApp } from "./normal-form.ts";

type Fields = MessageInitShape<typeof AppSchema>;

/** A value of an enum that a later version may have. */
const newer = 9 as UnknownEnum; // a brand

const app = (fields: Fields = {}): App => create(AppSchema, { name: "web", dockerImage: "shop:1.5", ...fields });
const fieldsOf = (fields: Fields) => validateApp(app(fields)).map(({ field }) => field);
const at = (hostAddress: string, hostPort: number) => ({ hostAddress, hostPort, containerPort: 80 });
const port = (hostPort: number, containerPort = 80, protocol: PortProtocol = PortProtocol.UNSPECIFIED) => ({ hostPort, containerPort, protocol });
const server = (value: number) => ({ per: { case: "server" as const, value } });

const accepted: Readonly<Record<string, Fields>> = {
  "nothing but an image": {},
  "the longest name": { name: `a${"_".repeat(62)}` },
  "ports of both protocols on one number": { startingPorts: [port(53, 53, 1), port(53, 53, 2)] },
  "three containers on neighbouring ranges": { startingPorts: [port(80), port(83)], containersPer: server(3) },
  "ports that may collide on large devices": { startingPorts: [port(80), port(81)], containersPer: { per: { case: "cpu", value: 1 } } },
  "one port on two addresses": {
    startingPorts: [at("127.0.0.1", 80), at("10.0.0.1", 80), at("::1", 80), { ...at("", 80), protocol: PortProtocol.UDP }],
  },
  "the last port": { startingPorts: [port(65_535, 65_535)] },
  "a share of the cores": { containersPer: { per: { case: "cpu", value: 0.5 } } },
  "one per gigabyte": { containersPer: { per: { case: "memoryMb", value: 1024 } } },
  "environment variables of any value": { envVars: { A: "", "B-1": "x=y\n", ä: "1" } },
  "secret variables of any value": { envVars: { A: "" }, secretEnvVars: { B: "", "C-1": "secret:12345678", ä: "x\n" } },
  "the host's network": { networks: ["host"] },
  "several networks": { networks: ["nebula", "bridge", "my_net.1"] },
  volumes: { volumes: ["/data:/data", "shop-data:/var/lib/shop:ro", "/a b:/x:rslave,z", "cache:/c:nocopy", "/e:/e:"] },
  devices: { devices: ["/dev/ttyUSB0", "/dev/a:/dev/b", "/dev/a:/dev/c:rw"] },
  "temporary file systems": { tmpfs: { "/tmp": "size=64m,mode=1777,noexec", "/run": "" } },
  "a command and an entrypoint": { command: ["a", ""], entrypoint: [""] },
  "a health check": { healthcheck: { test: ["CMD", "true"], intervalMs: 1 } },
  "a health check in the shell": { healthcheck: { test: ["CMD-SHELL", "exit 0"] } },
  "no health check": { healthcheck: { test: ["NONE"] } },
  limits: { cpus: 0.01, memoryLimitMb: 6, stopGraceSeconds: 0 },
  capabilities: { capAdd: ["NET_ADMIN", "cap_sys_time", "ALL"], capDrop: ["CHOWN"] },
  ulimits: {
    ulimits: [
      { name: "nofile", soft: 1n, hard: 2n },
      { name: "core", soft: -1n, hard: -1n },
      { name: "nproc", soft: 0n, hard: -1n },
    ],
  },
  "a user by number": { user: "1000:2147483647" },
  "a user by name": { user: "shop:www-data" },
  "a host name": { hostname: "pos_1.example" },
  "extra hosts": { extraHosts: ["db:10.0.0.5", "db6:fd00::5", "gw:host-gateway"] },
  labels: { labels: { "com.example": "", nebula: "x", "nebula-x": "y" } },
  logging: { logging: { driver: "json-file", options: { "max-size": "10m", "max-file": "3", tag: "x" } } },
  "a log driver of somebody else": { logging: { driver: "acme/logs:1", options: { anything: "goes" } } },
};

const refused: Readonly<Record<string, [Fields, string]>> = {
  "no name": [{ name: "" }, "name"],
  "a name with a slash": [{ name: "a/b" }, "name"],
  "a name that starts with a dot": [{ name: ".a" }, "name"],
  "a name that is too long": [{ name: "a".repeat(64) }, "name"],
  "no image": [{ dockerImage: "" }, "docker_image"],
  "an image in capitals": [{ dockerImage: "Shop:1.5" }, "docker_image"],
  "host port 0": [{ startingPorts: [port(0)] }, "starting_ports[0].host_port"],
  "container port 0": [{ startingPorts: [port(80, 0)] }, "starting_ports[0].container_port"],
  "a host port above 65535": [{ startingPorts: [port(80), port(65_536)] }, "starting_ports[1].host_port"],
  "a container port above 65535": [{ startingPorts: [port(80, 65_536)] }, "starting_ports[0].container_port"],
  "a host port twice": [{ startingPorts: [port(80), port(80, 81)] }, "starting_ports[1].host_port"],
  "a host port twice on one address": [{ startingPorts: [at("127.0.0.1", 80), at("127.0.0.1", 80)] }, "starting_ports[1].host_port"],
  "a host port on an address and on all": [{ startingPorts: [at("127.0.0.1", 80), at("10.0.0.1", 80), port(80)] }, "starting_ports[2].host_port"],
  "a host port on all addresses and on one": [{ startingPorts: [at("0.0.0.0", 80), at("10.0.0.1", 80)] }, "starting_ports[1].host_port"],
  "one address in two forms": [{ startingPorts: [at("::1", 80), at("0:0::1", 80)] }, "starting_ports[1].host_port"],
  "ranges that overlap on one address, past one on another": [
    { startingPorts: [at("127.0.0.1", 80), at("10.0.0.1", 81), at("127.0.0.1", 82)], containersPer: server(3) },
    "starting_ports[2].host_port",
  ],
  "a host name as an address": [{ startingPorts: [at("localhost", 80)] }, "starting_ports[0].host_address"],
  "an address with a zone": [{ startingPorts: [at("fe80::1%eth0", 80)] }, "starting_ports[0].host_address"],
  "an address in brackets": [{ startingPorts: [at("[::1]", 80)] }, "starting_ports[0].host_address"],
  "a host port twice, once by default a TCP port": [{ startingPorts: [port(80, 80, 1), port(80, 81)] }, "starting_ports[1].host_port"],
  "ranges that overlap": [{ startingPorts: [port(82), port(80)], containersPer: server(3) }, "starting_ports[0].host_port"],
  "a range past the last port": [{ startingPorts: [port(65_534)], containersPer: server(3) }, "starting_ports[0].host_port"],
  "an unknown protocol": [{ startingPorts: [{ hostPort: 1, containerPort: 1, protocol: newer }] }, "starting_ports[0].protocol"],
  "containers_per without a number": [{ containersPer: {} }, "containers_per"],
  "no containers": [{ containersPer: server(0) }, "containers_per.server"],
  "too many containers": [{ containersPer: server(1001) }, "containers_per.server"],
  "none per core": [{ containersPer: { per: { case: "cpu", value: 0 } } }, "containers_per.cpu"],
  "NaN per core": [{ containersPer: { per: { case: "cpu", value: Number.NaN } } }, "containers_per.cpu"],
  "one per 0 MB": [{ containersPer: { per: { case: "memoryMb", value: 0 } } }, "containers_per.memory_mb"],
  "a variable without a name": [{ envVars: { "": "x" } }, "env_vars"],
  "a variable with = in its name": [{ envVars: { "A=B": "x" } }, "env_vars.A=B"],
  "a secret variable without a name": [{ secretEnvVars: { "": "x" } }, "secret_env_vars"],
  "a secret variable with = in its name": [{ secretEnvVars: { "A=B": "x" } }, "secret_env_vars.A=B"],
  "a NUL in a secret value": [{ secretEnvVars: { A: "x\0" } }, "secret_env_vars.A"],
  "a lone surrogate in a secret value": [{ secretEnvVars: { A: "\ud800" } }, "secret_env_vars.A"],
  "a variable that is secret and not": [{ envVars: { A: "x" }, secretEnvVars: { A: "x", B: "y" } }, "secret_env_vars.A"],
  "a NUL in a value": [{ envVars: { A: "x\0" } }, "env_vars.A"],
  "a NUL in a variable's name": [{ envVars: { "A\0": "x" } }, "env_vars.A\0"],
  "a lone surrogate": [{ envVars: { A: "\ud800" } }, "env_vars.A"],
  "a NUL in a command": [{ command: ["a", "b\0"] }, "command[1]"],
  "a network that can't be": [{ networks: ["a b"] }, "networks[0]"],
  "another container's network": [{ networks: ["container:x"] }, "networks[0]"],
  "the host's network beside another": [{ networks: ["nebula", "host"] }, "networks[1]"],
  "a network twice": [{ networks: ["nebula", "nebula"] }, "networks[1]"],
  "a volume without a path in the container": [{ volumes: ["/data"] }, "volumes[0]"],
  "a volume on a relative path": [{ volumes: ["/data:data"] }, "volumes[0]"],
  "a relative host path": [{ volumes: ["./data:/data"] }, "volumes[0]"],
  "a volume over the root": [{ volumes: ["/data:/a/.."] }, "volumes[0]"],
  "a volume with a mode in place of a path": [{ volumes: ["/data:ro"] }, "volumes[0]"],
  "a volume's name of one letter": [{ volumes: ["a:/x"] }, "volumes[0]"],
  "an unknown mode": [{ volumes: ["/data:/x:RO"] }, "volumes[0]"],
  "modes that exclude each other": [{ volumes: ["/data:/x:ro,rw"] }, "volumes[0]"],
  "nocopy of a host path": [{ volumes: ["/data:/x:nocopy"] }, "volumes[0]"],
  "propagation of a volume": [{ volumes: ["data:/x:rslave"] }, "volumes[0]"],
  "a volume with four parts": [{ volumes: ["/data:/x:ro:z"] }, "volumes[0]"],
  "an empty volume": [{ volumes: [""] }, "volumes[0]"],
  "two volumes on one path": [{ volumes: ["/a:/x", "/b:/x/"] }, "volumes[1]"],
  "a volume on a tmpfs": [{ volumes: ["/a:/x"], tmpfs: { "/x": "" } }, "volumes[0]"],
  "a tmpfs on a relative path": [{ tmpfs: { x: "" } }, "tmpfs.x"],
  "a tmpfs over the root": [{ tmpfs: { "/": "" } }, "tmpfs./"],
  "a tmpfs twice": [{ tmpfs: { "/x": "", "/x/": "" } }, "tmpfs./x/"],
  "an unknown option of a tmpfs": [{ tmpfs: { "/x": "size=64m,huge=always" } }, "tmpfs./x"],
  "an invalid size": [{ tmpfs: { "/x": "size=64x" } }, "tmpfs./x"],
  "a mode that is not octal": [{ tmpfs: { "/x": "mode=9" } }, "tmpfs./x"],
  "a relative device": [{ devices: ["ttyUSB0"] }, "devices[0]"],
  "permissions in place of a path": [{ devices: ["/dev/a:rwm"] }, "devices[0]"],
  "invalid permissions": [{ devices: ["/dev/a:/dev/a:rr"] }, "devices[0]"],
  "no permissions at all": [{ devices: ["/dev/a:/dev/a:"] }, "devices[0]"],
  "a health check that runs nothing": [{ healthcheck: {} }, "healthcheck.test"],
  "a health check without its kind": [{ healthcheck: { test: ["curl", "x"] } }, "healthcheck.test"],
  "a health check without a command": [{ healthcheck: { test: ["CMD"] } }, "healthcheck.test"],
  "a health check of two lines": [{ healthcheck: { test: ["CMD-SHELL", "a", "b"] } }, "healthcheck.test"],
  "too few cores": [{ cpus: 0.001 }, "cpus"],
  "negative cores": [{ cpus: -1 }, "cpus"],
  "NaN cores": [{ cpus: Number.NaN }, "cpus"],
  "endless cores": [{ cpus: Number.POSITIVE_INFINITY }, "cpus"],
  "too little memory": [{ memoryLimitMb: 5 }, "memory_limit_mb"],
  "a grace of two days": [{ stopGraceSeconds: 172_800 }, "stop_grace_seconds"],
  "an invalid capability": [{ capAdd: ["NET_ADMN"] }, "cap_add[0]"],
  "an invalid dropped capability": [{ capDrop: ["CHOWN", ""] }, "cap_drop[1]"],
  "an unknown ulimit": [{ ulimits: [{ name: "files", soft: 1n, hard: 1n }] }, "ulimits[0].name"],
  "a soft limit above the hard one": [{ ulimits: [{ name: "nofile", soft: 3n, hard: 2n }] }, "ulimits[0].soft"],
  "no soft limit below a hard one": [{ ulimits: [{ name: "nofile", soft: -1n, hard: 2n }] }, "ulimits[0].soft"],
  "a limit of -2": [{ ulimits: [{ name: "nofile", soft: -2n, hard: 2n }] }, "ulimits[0].soft"],
  "a limit twice": [{ ulimits: [{ name: "core" }, { name: "core" }] }, "ulimits[1].name"],
  "a user with three parts": [{ user: "a:b:c" }, "user"],
  "a uid that is too large": [{ user: "2147483648" }, "user"],
  "a relative working directory": [{ workingDir: "app" }, "working_dir"],
  "a host name with a space": [{ hostname: "a b" }, "hostname"],
  "a host name that is too long": [{ hostname: "a".repeat(64) }, "hostname"],
  "an extra host without an address": [{ extraHosts: ["db"] }, "extra_hosts[0]"],
  "an extra host with half an address": [{ extraHosts: ["db:10.0.0"] }, "extra_hosts[0]"],
  "the worker's own labels": [{ labels: { orchestrator: "x" } }, "labels.orchestrator"],
  "the worker's name space of labels": [{ labels: { "nebula.spec": "x" } }, "labels.nebula.spec"],
  "the label app_name": [{ labels: { app_name: "x" } }, "labels.app_name"],
  "a label without a key": [{ labels: { "": "x" } }, "labels"],
  "no log driver": [{ logging: {} }, "logging.driver"],
  "an option that the log driver does not know": [{ logging: { driver: "json-file", options: { "max-sise": "1m" } } }, "logging.options.max-sise"],
  "an invalid log size": [{ logging: { driver: "local", options: { "max-size": "big" } } }, "logging.options.max-size"],
  "an unknown pull policy": [{ pullPolicy: newer }, "pull_policy"],
  "too much of everything": [{ envVars: { A: "x".repeat(65_536) } }, "app"],
};

describe("an app", () => {
  for (const [what, fields] of Object.entries(accepted)) it(`an app may have ${what}`, () => assert.deepEqual(validateApp(app(fields)), []));

  for (const [what, [fields, field]] of Object.entries(refused))
    it(`an app is refused with ${what}`, () => assert.deepEqual(fieldsOf(fields), [field]));

  it("an app is refused with each fault at once, in sentences that say what to use", () => {
    const violations = validateApp(app({ dockerImage: "", cpus: -1, networks: ["a b", "c d"], memoryLimitMb: 1 }));
    assert.deepEqual(
      violations.map(({ field }) => field),
      ["docker_image", "networks[0]", "networks[1]", "cpus", "memory_limit_mb"],
    );
    for (const { description } of violations) assert.match(description, /;/);
  });

  it("an app with an unknown capability is refused with the nearest one", () => {
    assert.match(validateApp(app({ capAdd: ["NET_ADMN"] }))[0]?.description ?? "", /use NET_ADMIN/);
  });

  it("an app may be as large as is allowed, at any revision", () => {
    const sized = (bytes: number) => app({ revision: 2n ** 53n, restartCount: 2n ** 53n, envVars: { A: "x".repeat(bytes) } });
    const overhead = toBinary(AppSchema, normaliseApp(app({ envVars: { A: "x".repeat(60_000) } }))).byteLength - 60_000;
    assert.deepEqual(validateApp(sized(65_536 - overhead)), []);
    assert.deepEqual(
      validateApp(sized(65_537 - overhead)).map(({ field }) => field),
      ["app"],
    );
  });

  it("an app's secret value counts with its stored length, so that an accepted app stays valid", () => {
    const keys = deriveSecretKeys("cluster key of a test");
    const secret = (value: string) => app({ secretEnvVars: { A: value } });
    const sealed = (value: string) => secret(sealValue(keys, { kind: "app", name: "web", variable: "A" }, value));
    const refusals = (sizes: readonly number[], of: (value: string) => App) => sizes.map((size) => validateApp(of("x".repeat(size))).length);
    const sizes = Array.from({ length: 300 }, (_, index) => 48_900 + index);
    assert.deepEqual(refusals(sizes, secret), refusals(sizes, sealed));
    assert.deepEqual([...new Set(refusals(sizes, secret))], [0, 1]);
  });

  it("an app that is too large is refused for its size alone, even if it has other faults", () => {
    const networks = Array.from({ length: 300_000 }, (_, index) => `n ${index}`);
    assert.ok(cpuMs(() => assert.deepEqual(fieldsOf({ networks }), ["app"])) < 5000);
  });

  it("an app is checked in little time, for any texts", () => {
    const texts = ["1", "0", "a", "a-", "a.", "a:", "/", "[", "_", " ", "@", "="].map((text) => `${text.repeat(60_000 / text.length)}!`);
    for (const text of texts) {
      const options = { "max-size": text, "max-file": text, "max-buffer-size": text, compress: text };
      const fields = [
        ...["dockerImage", "user", "workingDir", "hostname"].map((field) => ({ [field]: text })),
        ...["networks", "volumes", "devices", "extraHosts", "capAdd", "capDrop"].map((field) => ({ [field]: [text] })),
        ...Object.entries(options).map(([name, value]) => ({ logging: { driver: "local", options: { [name]: value } } })),
        { logging: { driver: text } },
        { tmpfs: { "/x": text } },
        { tmpfs: { [text]: "" } },
        { ulimits: [{ name: text }] },
      ];
      for (const one of fields) {
        assert.ok(cpuMs(() => validateApp(app(one))) < 1000, `${Object.keys(one)}: ${text.slice(0, 3)}...`);
      }
    }
  });

  it("an app's errors never show the value of an environment variable", () => {
    const violations = validateApp(
      app({
        envVars: { "A=": "hunter2", B: "hunter2\0", "": "hunter2", C: "hunter2" },
        secretEnvVars: { "A=": "hunter2", B: "hunter2\0", "": "hunter2", C: "hunter2" },
      }),
    );
    assert.equal(violations.length, 10);
    assert.doesNotMatch(JSON.stringify(violations), /hunter2/);
  });

  it("an app's errors show long values cut", () => {
    const long = "x".repeat(10_000);
    const violations = validateApp(app({ dockerImage: `A${long}`, volumes: [long], labels: { [`nebula.${long}`]: "" }, user: `a b${long}` }));
    assert.equal(violations.length, 4);
    for (const { field, description } of violations) assert.ok(field.length < 200 && description.length < 700, description);
  });

  it("an app is refused with fields of a newer version, by number, also inside of others", () => {
    const newer = fromBinary(AppSchema, Uint8Array.of(...toBinary(AppSchema, app({ logging: { driver: "none" } })), 0xa0, 0x1f, 0x01)); // field 500
    assert.deepEqual(
      validateApp(newer).map(({ field }) => field),
      ["500"],
    );
    if (newer.logging) newer.logging.$unknown = [{ no: 9, wireType: 0, data: Uint8Array.of(1) }];
    assert.deepEqual(
      validateApp(newer).map(({ field }) => field),
      ["500", "logging.9"],
    );
  });
});
