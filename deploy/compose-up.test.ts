import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../common/testing/eventually.ts";
import { requireCompose } from "../common/testing/require-command.ts";
import { requireDocker } from "../common/testing/require-docker.ts";
import { buildImage, prepareImages, run } from "../e2e/deploy/nebula-images.ts";

/** How long a server or a cluster may take to answer, on a machine that is busy with others. */
const UP = { timeoutMs: 120_000, everyMs: 250 };
const PASSWORD = "a password of a test";

/** The project of one of the compose files, under a name, addresses and images of its own. */
class Project implements AsyncDisposable {
  readonly name = `nebula-test-${randomBytes(4).toString("hex")}`;
  /** Of loopback: no other process has ports there. */
  readonly address = `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${randomInt(1, 255)}`;
  readonly #command: readonly [string, ...string[]];
  readonly #files: readonly string[];
  readonly #tag: string;
  readonly #folder = mkdtempSync(join(tmpdir(), "nebula-compose-up-"));

  constructor(command: readonly [string, ...string[]], files: Readonly<Record<string, string | undefined>>, tag: string) {
    this.#command = command;
    this.#files = Object.keys(files).flatMap((file) => ["-f", file]);
    this.#tag = tag;
    for (const [file, text] of Object.entries(files)) {
      if (text === undefined) copyFileSync(join(import.meta.dirname, file), join(this.#folder, file));
      else writeFileSync(join(this.#folder, file), text);
    }
    const secrets = { NEBULA_CLUSTER_KEY: randomBytes(32).toString("base64"), NEBULA_ADMIN_PASSWORD: PASSWORD };
    writeFileSync(
      join(this.#folder, "nebula.env"),
      Object.entries(secrets)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(""),
    );
  }

  compose(args: readonly string[], more: Readonly<Record<string, string>> = {}): void {
    const [program, ...first] = this.#command;
    const env = { ...process.env, IMAGE_TAG: this.#tag, BIND_ADDRESS: this.address, ...more };
    const all = [...first, "-p", this.name, ...this.#files, ...args];
    const { status, stdout, stderr } = spawnSync(program, all, { cwd: this.#folder, env, encoding: "utf8" });
    assert.equal(status, 0, `${all.join(" ")}:\n${stdout}${stderr}`);
  }

  /** Calls a method of the API over HTTP, as the admin. Rejects where it is refused. */
  async call(method: string, body: object = {}): Promise<Record<string, unknown>> {
    const authorization = `Basic ${Buffer.from(`admin:${PASSWORD}`).toString("base64")}`;
    const headers = { "content-type": "application/json", authorization };
    const response = await fetch(`http://${this.address}:8080/nebula.v1.${method}`, { method: "POST", headers, body: JSON.stringify(body) });
    const text = await response.text();
    assert.equal(response.status, 200, text);
    return Object(JSON.parse(text));
  }

  async answers(): Promise<void> {
    await eventually(
      () =>
        this.call("StatusService/GetStatus").then(
          () => true,
          () => false,
        ),
      UP,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.compose(["--profile", "device", "down", "--volumes", "--timeout", "1"]);
    rmSync(this.#folder, { recursive: true });
  }
}

describe("docker compose up", function () {
  this.timeout(600_000);
  const tag = `test-${randomBytes(4).toString("hex")}`;
  const isLong = process.env.NEBULA_TEST_LONG === "1";
  const targets = isLong ? (["server", "worker"] as const) : (["server"] as const);
  let command: readonly [string, ...string[]];

  before(async function () {
    await requireDocker(this);
    command = requireCompose(this);
    await prepareImages();
    for (const target of targets) buildImage(target, `nebula-${target}:${tag}`);
  });
  after(() => {
    for (const target of targets) spawnSync("docker", ["image", "rm", `nebula-${target}:${tag}`]);
  });

  it("one server comes up on its volume, and has its apps again after down and up", async () => {
    await using project = new Project(command, { "compose.single.yaml": undefined }, tag);
    project.compose(["up", "-d"]);
    await project.answers();
    await project.call("AppService/CreateApp", { app: { name: "web", docker_image: "shop:1" } });
    project.compose(["down"]);
    project.compose(["up", "-d"]);
    await project.answers();
    assert.equal(Object((await project.call("AppService/GetApp", { name: "web" })).app).docker_image, "shop:1");
  });

  if (isLong) {
    it("a cluster comes up, and brings an app to the worker beside it", async () => {
      const instance = `compose-${tag}`;
      const override = `services: { worker: { environment: { NEBULA_INSTANCE: ${instance}, NEBULA_ADOPT: "false" } } }\n`;
      await using project = new Project(command, { "compose.yaml": undefined, "override.yaml": override }, tag);
      project.compose(["up", "-d"]);
      await project.answers();
      await project.call("AppService/CreateApp", {
        app: { name: "web", docker_image: "busybox:1", pull_policy: "PULL_POLICY_MISSING", command: ["httpd", "-f"] },
      });
      await project.call("DeviceGroupService/CreateDeviceGroup", { device_group: { name: "pos", apps: ["web"] } });
      const { token } = await project.call("AccessService/CreateEnrolmentToken", { device_group: "pos" });
      project.compose(["--profile", "device", "up", "-d", "worker"], { ENROLL_TOKEN: String(token) });
      const containers = () =>
        run("docker", ["ps", "-q", "--filter", `label=nebula.instance=${instance}`])
          .split("\n")
          .filter((id) => id !== "");
      try {
        await eventually(() => containers().length === 1, UP);
        await eventually(async () => Object((await project.call("DeviceService/ListDevices", { device_group: "pos" })).devices).length === 1, UP);
      } finally {
        project.compose(["--profile", "device", "stop", "worker"]);
        for (const id of containers()) run("docker", ["rm", "-fv", id]);
      }
    });
  }
});
