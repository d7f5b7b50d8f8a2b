import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { silentLog } from "../../../common/log/log.ts";
import { endWithTests } from "../../../common/testing/end-with-tests.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import { requireDocker } from "../../../common/testing/require-docker.ts";
import { createRegistryLogins } from "../../registry/registry-logins.ts";
import { openDockerFixture } from "./fixture.ts";
import { authConfig, jsonLines, pullLineError } from "./pull.ts";

const USER = "shop";
const PASSWORD = randomBytes(9).toString("base64url");
const signal = new AbortController().signal;

describe("a registry that needs a login", function () {
  this.timeout(60_000);
  let fixture: Awaited<ReturnType<typeof openDockerFixture>> | undefined;
  let registry: ChildProcess | undefined;
  let folder = "";
  let host = "";
  let image = "";

  before(async function () {
    await requireDocker(this);
    if (!(await isInstalled("docker-registry")) || !(await isInstalled("htpasswd"))) {
      if (process.env.CI === "true") throw new Error("docker-registry and htpasswd (Debian: docker-registry, apache2-utils) are needed");
      console.log("    (skipped: docker-registry or htpasswd is not installed)");
      this.skip();
    }
    fixture = await openDockerFixture();
    folder = await mkdtemp(join(tmpdir(), "nebula-registry-"));
    host = `127.0.0.1:${await fixture.freePort()}`;
    image = `${host}/shop/app:1`;
    const { stdout } = await promisify(execFile)("htpasswd", ["-Bbn", USER, PASSWORD]);
    await writeFile(join(folder, "htpasswd"), stdout.trim());
    const settings = { version: "0.1", log: { level: "error" }, storage: { filesystem: { rootdirectory: join(folder, "data") } } };
    const auth = { htpasswd: { realm: "test", path: join(folder, "htpasswd") } };
    await writeFile(join(folder, "config.yml"), JSON.stringify({ ...settings, http: { addr: host }, auth }));
    registry = endWithTests(spawn("docker-registry", ["serve", join(folder, "config.yml")], { stdio: "ignore" }));
    await eventually(async () => (await fetch(`http://${host}/v2/`)).status === 401);
    await push();
  });
  after(async () => {
    if (fixture !== undefined) {
      await forget();
      await fixture[Symbol.asyncDispose]();
    }
    if (registry !== undefined) {
      registry.kill();
      if (registry.exitCode === null && registry.signalCode === null) await once(registry, "exit");
    }
    if (folder !== "") await rm(folder, { recursive: true });
  });

  function opened(): NonNullable<typeof fixture> {
    assert.ok(fixture);
    return fixture;
  }

  async function push(): Promise<void> {
    const { engine } = opened();
    const query = { repo: `${host}/shop/app`, tag: "1" };
    await engine.call({ what: "tag", method: "POST", path: "/images/busybox:1/tag", query }, signal);
    const login = authConfig({ username: USER, password: PASSWORD, registry: host });
    const path = `/images/${host}/shop/app/push`;
    for await (const value of jsonLines(
      await engine.stream({ what: "push", method: "POST", path, query: { tag: "1" }, authConfig: login }, signal),
    )) {
      assert.equal(pullLineError(value), undefined);
    }
  }

  /** Takes the image's name off the engine; the image itself is busybox and stays. */
  async function forget(): Promise<void> {
    await opened().engine.call({ what: "untag", method: "DELETE", path: `/images/${image}`, fineStatus: 404 }, signal);
    assert.equal(await opened().runtime.inspectImage(image, signal), undefined);
  }

  async function pull(env: Readonly<Record<string, string>>): Promise<number> {
    await forget();
    let progress = 0;
    const login = await createRegistryLogins({ env: { DOCKER_CONFIG: folder, ...env }, log: silentLog })(image);
    await opened().runtime.pull(image, { login, onLine: ({ isProgress }) => (progress += Number(isProgress)), signal });
    assert.notEqual(await opened().runtime.inspectImage(image, signal), undefined);
    return progress;
  }

  it("a registry that needs a login refuses a pull without one, and with a wrong one, and that differs from other failures", async () => {
    const isRefused = (error: unknown) => isNebulaError(error, "unauthenticated") && !error.message.includes("wrong-password");
    await assert.rejects(pull({}), isRefused);
    await assert.rejects(pull({ REGISTRY_HOST: host, REGISTRY_AUTH_USER: USER, REGISTRY_AUTH_PASSWORD: "wrong-password" }), isRefused);
  });

  it("a registry is pulled from with the login of the environment", async () => {
    assert.ok((await pull({ REGISTRY_HOST: `http://${host}`, REGISTRY_AUTH_USER: USER, REGISTRY_AUTH_PASSWORD: PASSWORD })) > 0);
  });

  it("a registry is pulled from with Docker's own login", async () => {
    const auth = Buffer.from(`${USER}:${PASSWORD}`).toString("base64");
    await writeFile(join(folder, "config.json"), JSON.stringify({ auths: { [host]: { auth } } }));
    assert.ok((await pull({})) > 0);
    await rm(join(folder, "config.json"));
  });

  it("a registry's refusal says which image it does not have", async () => {
    const login = { username: USER, password: PASSWORD, registry: host };
    const missing = opened().runtime.pull(`${host}/shop/app:none`, { login, onLine: () => {}, signal });
    await assert.rejects(missing, (error) => isNebulaError(error, "not_found"));
  });
});

async function isInstalled(program: string): Promise<boolean> {
  return promisify(execFile)("which", [program]).then(
    () => true,
    () => false,
  );
}
