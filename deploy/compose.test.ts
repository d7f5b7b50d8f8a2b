import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { resolveSettings } from "../common/settings/resolve-settings.ts";
import { COMMANDS, type Command, usedBy } from "../common/settings/setting.ts";
import { ALL_SETTINGS } from "../common/settings/settings-table.ts";
import { commandsBelow } from "../common/testing/doc-commands.ts";
import { requireCompose } from "../common/testing/require-command.ts";
import { VERSION } from "../common/version.ts";

const FILES = ["compose.yaml", "compose.single.yaml"];
const PAGE = readFileSync(join(import.meta.dirname, "../docs/compose.md"), "utf8");
/** The lines of the page that make the file of secrets. */
const SECRETS = commandsBelow(PAGE, "run", { "cd deploy\n": "" });

type Service = Readonly<{
  image: string;
  command?: string | readonly string[];
  environment?: Readonly<Record<string, string>>;
  ports?: readonly (string | Readonly<{ host_ip: string; published: string | number; target: number }>)[];
  depends_on?: Readonly<Record<string, Readonly<{ condition: string }>>>;
  healthcheck?: object;
  volumes?: readonly (string | Readonly<{ source: string; target: string }>)[];
  stop_grace_period?: string;
}>;
type Composed = Readonly<{ services: Readonly<Record<string, Service>>; volumes: Readonly<Record<string, object>> }>;

/** A published port: the address, and the ports outside and inside. */
function publishedBy({ ports = [] }: Service): readonly (readonly [address: string, published: number, target: number])[] {
  return ports.map((port) => {
    if (typeof port !== "string") return [port.host_ip, Number(port.published), port.target];
    const [, address = "", published, target] = /^(.*):(\d+):(\d+)(?:\/tcp)?$/.exec(port) ?? [];
    return [address, Number(published), Number(target)];
  });
}

describe("the files for docker compose", function () {
  this.timeout(120_000);
  const composed = new Map<string, Composed>();
  let folder: string;

  before(function () {
    const [program, ...args] = requireCompose(this);
    folder = mkdtempSync(join(tmpdir(), "nebula-compose-"));
    for (const file of FILES) copyFileSync(join(import.meta.dirname, file), join(folder, file));
    const made = spawnSync("bash", ["-euo", "pipefail", "-c", SECRETS], { cwd: folder, encoding: "utf8" });
    assert.equal(made.status, 0, made.stderr);
    for (const file of FILES) {
      const profile = file === "compose.yaml" ? ["--profile", "device"] : [];
      const { status, stdout, stderr } = spawnSync(program, [...args, "-f", file, ...profile, "config"], { cwd: folder, encoding: "utf8" });
      assert.equal(status, 0, stderr);
      composed.set(file, parse(stdout));
    }
  });
  after(() => {
    if (folder !== undefined) rmSync(folder, { recursive: true });
  });

  /** The services that run Nebula, each with the command of `nebula` that it runs. */
  function nebulaServices() {
    return [...composed].flatMap(([file, { services }]) =>
      Object.entries(services)
        .filter(([, { image }]) => image.startsWith("nebula-"))
        .map(([name, service]) => {
          const [given] = [service.command ?? []].flat();
          const command: Command = COMMANDS.find((one) => one === (given ?? "worker")) ?? assert.fail(`${name}: ${given}`);
          return { file, name, service, command };
        }),
    );
  }

  it("every part runs, of the images that are built", () => {
    const run = nebulaServices().map(({ file, name, service }) => `${file} ${name} ${service.image}`);
    assert.deepEqual(run.toSorted(), [
      `compose.single.yaml server nebula-server:${VERSION}`,
      `compose.yaml gateway nebula-server:${VERSION}`,
      `compose.yaml manager-1 nebula-server:${VERSION}`,
      `compose.yaml manager-2 nebula-server:${VERSION}`,
      `compose.yaml migrate nebula-server:${VERSION}`,
      `compose.yaml reporter nebula-server:${VERSION}`,
      `compose.yaml worker nebula-worker:${VERSION}`,
    ]);
  });

  it("each variable is in the settings table, its part takes it, and no value is a secret", () => {
    const known = new Map(ALL_SETTINGS.map((setting) => [setting.variable as string, setting]));
    for (const { file, name, service, command } of nebulaServices()) {
      const env = service.environment ?? {};
      for (const variable of Object.keys(env)) assert.ok(known.has(variable), `${name}: ${variable}`);
      resolveSettings({ command, args: [], env, readFile: () => assert.fail() });
      const own: Composed = parse(readFileSync(join(import.meta.dirname, file), "utf8"), { merge: true });
      for (const [variable, value] of Object.entries(own.services[name]?.environment ?? {})) {
        const setting = known.get(variable) ?? assert.fail(variable);
        if (setting.secret) assert.equal(value, "${ENROLL_TOKEN:-}", variable);
        const sharedByAll = ["NEBULA_STORE", "NEBULA_REDIS", "NEBULA_BUS", "NEBULA_METRICS_LISTEN"].includes(variable);
        assert.ok(sharedByAll || usedBy(setting, command), `${name}: ${variable}`);
      }
      if (command === "worker") assert.equal(env.NEBULA_ADMIN_PASSWORD, undefined);
      else assert.ok((env.NEBULA_CLUSTER_KEY ?? "").length >= 40 && (env.NEBULA_ADMIN_PASSWORD ?? "").length >= 20);
    }
  });

  it("the ports that parts listen on are published over loopback alone, and the gateway dials the managers where they listen", () => {
    const listening = new Map<string, number>();
    for (const { file, name, service, command } of nebulaServices()) {
      const { settings } = resolveSettings({ command, args: [], env: service.environment ?? {}, readFile: () => assert.fail() });
      const listens = [
        ...(["gateway", "server"].includes(command) ? [settings.httpListen] : []),
        ...(["manager", "server"].includes(command) ? [settings.grpcListen] : []),
      ];
      for (const { host } of listens) assert.equal(host, "0.0.0.0");
      assert.deepEqual(
        publishedBy(service),
        listens.map(({ port }) => ["127.0.0.1", port, port]),
        `${file} ${name}`,
      );
      if (command === "manager") {
        listening.set(name, settings.grpcListen.port);
        assert.equal(settings.grpcAdvertise, `${name}:${settings.grpcListen.port}`);
        assert.equal(settings.shard, name);
        assert.match(service.stop_grace_period ?? "", /^(?:1m15s|75s)$/);
      }
    }
    const gateway = nebulaServices().find(({ command }) => command === "gateway") ?? assert.fail();
    const { settings } = resolveSettings({ command: "gateway", args: [], env: gateway.service.environment ?? {}, readFile: () => assert.fail() });
    assert.deepEqual(new Map(settings.managers.map(({ host, port }) => [host, port])), listening);
  });

  it("the parts start after migrate, and migrate after engines that are healthy and keep their data in volumes", () => {
    const { services, volumes } = composed.get("compose.yaml") ?? assert.fail();
    for (const { file, name, service, command } of nebulaServices()) {
      if (file !== "compose.yaml" || command === "worker") continue;
      const after = Object.entries(service.depends_on ?? {}).map(([other, { condition }]) => `${other} ${condition}`);
      for (const [other, { condition }] of Object.entries(service.depends_on ?? {}))
        if (condition === "service_healthy") assert.ok(services[other]?.healthcheck !== undefined, other);
      if (command === "migrate") assert.deepEqual(after.toSorted(), ["cassandra service_healthy", "kafka service_healthy"]);
      else assert.ok(after.includes("migrate service_completed_successfully"), name);
    }
    assert.deepEqual(Object.keys(volumes).toSorted(), ["cassandra", "kafka", "worker"]);
    assert.deepEqual(Object.keys(composed.get("compose.single.yaml")?.volumes ?? {}), ["data"]);
  });

  it("docs/compose.md explains every variable that they fill in", () => {
    const filledIn = FILES.flatMap((file) =>
      [...readFileSync(join(import.meta.dirname, file), "utf8").matchAll(/\$\{(\w+)/g)].map(([, name = ""]) => name),
    );
    const explained = [...PAGE.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell = ""]) => [...cell.matchAll(/`(\w+)`/g)].map(([, name = ""]) => name));
    assert.deepEqual([...new Set(filledIn)].toSorted(), explained.toSorted());
  });
});
