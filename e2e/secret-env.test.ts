import { strict as assert } from "node:assert";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../common/testing/eventually.ts";
import { requireDocker } from "../common/testing/require-docker.ts";
import { throughout } from "../common/testing/throughout.ts";
import { FOREVER, IMAGE } from "./harness/engine.ts";
import { Program } from "./harness/program.ts";
import { Server } from "./harness/server.ts";
import { Worker } from "./harness/worker.ts";

const SECRET = "hunter2-and-some-more";
const CHANGED = "swordfish-and-some-more";
const SHOWN = /secret:[0-9a-f]{8}/;

describe("a secret variable", function () {
  this.timeout(120_000);
  let server: Server;
  let worker: Worker;
  before(async function () {
    await requireDocker(this);
    server = await Server.start({ env: { NEBULA_LOG_LEVEL: "debug" } });
    worker = await Worker.start({ server, deviceGroup: "pos", env: { NEBULA_LOG_LEVEL: "debug" } });
  });
  after(async () => {
    await worker?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  /** A call over HTTP; returns the answer's text, for any status. */
  async function post(method: string, body: object | string): Promise<string> {
    const headers = {
      "content-type": "application/json",
      authorization: `Basic ${Buffer.from(`admin:${server.password}`).toString("base64")}`,
    };
    const text = typeof body === "string" ? body : JSON.stringify(body);
    return (await fetch(`${server.url}/nebula.v1.${method}`, { method: "POST", headers, body: text })).text();
  }

  async function nebulactl(...args: string[]): Promise<string> {
    const env = { NEBULA_SERVER: server.url, NEBULA_USER: "admin", NEBULA_PASSWORD: server.password, HOME: server.dataDir };
    await using program = new Program(args, { file: "cli/nebulactl.js", env });
    assert.equal(await program.exit(), 0, program.output);
    return program.output;
  }

  const running = (value: string) => worker.engine.settled("web", 1, ({ Config }) => (Config.Env ?? []).includes(`TOKEN=${value}`));

  function assertNowhere(texts: Iterable<string>, where: string): void {
    for (const text of texts) for (const value of [SECRET, CHANGED]) assert.ok(!text.includes(value), `${where} holds a secret value`);
  }

  it("a secret variable is in the container of the device, and neither in answers of the API nor in the server's files and logs", async () => {
    const app = { name: "web", docker_image: IMAGE, pull_policy: "PULL_POLICY_MISSING", command: FOREVER, secret_env_vars: { TOKEN: SECRET } };
    const answers = [await post("AppService/CreateApp", { app })];
    answers.push(await post("DeviceGroupService/CreateDeviceGroup", { device_group: { name: "pos", apps: ["web"] } }));
    const [container] = await running(SECRET);
    assertNowhere([JSON.stringify(container?.Config.Labels)], "a label");

    for (const [method, body] of [
      ["AppService/GetApp", { name: "web" }],
      ["AppService/ListApps", {}],
      ["AppService/UpdateApp", { app: { name: "web", secret_env_vars: { TOKEN: SECRET } }, update_fields: ["secret_env_vars"] }],
      ["ConfigService/GetConfig", { device_group: "pos" }],
    ] as const) {
      const answer = await post(method, body);
      assert.match(answer, SHOWN, method);
      answers.push(answer);
    }
    answers.push(await post("AuditService/ListAuditEntries", {}));
    await eventually(async () => (await post("DeviceService/GetDevice", { device_id: worker.deviceId })).includes('"TARGET_STATE_APPLIED"'));
    answers.push(await post("DeviceService/GetDevice", { device_id: worker.deviceId }), await post("ReportService/ListReports", {}));
    answers.push(await nebulactl("get", "apps", "web", "-o", "yaml"), await nebulactl("apps", "info", "web"));
    assertNowhere(answers, "an answer");

    // a value that can't be read is reported without its text
    await post("AppService/UpdateApp", `{"app": {"name": "web", "secret_env_vars": {"TOKEN": ${SECRET}}}}`);
    await post("AppService/UpdateApp", `{"app": {"name": "web", "secret_env_vars": {"TOKEN": ["${SECRET}"]}}, "update_fields": ["*"]}`);
    await post("AppService/UpdateApp", { app: { name: "web", env_vars: { TOKEN: SECRET } }, update_fields: ["env_vars.TOKEN"] });
    assertNowhere([server.program.output], "the server's log");
    assertNowhere([worker.program.output], "the worker's log");
    const files = readdirSync(server.dataDir).filter((name) => name.includes(".db"));
    assert.ok(files.some((name) => readFileSync(join(server.dataDir, name), "latin1").includes("nebula-sealed:1:")));
    assertNowhere(
      files.map((name) => readFileSync(join(server.dataDir, name), "latin1")),
      "the store",
    );
    assert.equal(statSync(join(worker.dataDir, "last-good.json")).mode & 0o777, 0o600);
  });

  it("a secret variable is kept where its display is written back, so that nothing happens on the device, and changed where it is given", async () => {
    const [before] = await worker.engine.running("web");
    const { app } = JSON.parse(await post("AppService/GetApp", { name: "web" }));
    const kept = JSON.parse(await post("AppService/UpdateApp", { app, update_fields: ["*"] }));
    assert.deepEqual(kept.app, app);
    await server.api.updateApp("web", { secretEnvVars: { TOKEN: CHANGED } }, { updateFields: ["secret_env_vars.TOKEN"] });
    const [after] = await running(CHANGED);
    assert.notEqual(after?.Id, before?.Id);
    await server.api.updateApp("web", { hostname: "till" });
    await worker.engine.settled("web", 1, ({ Config }) => Config.Hostname === "till" && Config.Env.includes(`TOKEN=${CHANGED}`));
    assertNowhere([server.program.output, worker.program.output], "a log");
  });

  it("a secret variable stays as it is when the cluster key is changed, for devices and for readers", async () => {
    const [before] = await worker.engine.running("web");
    const shown = SHOWN.exec(await post("AppService/GetApp", { name: "web" }))?.[0];
    await server.stop();
    await using migrate = new Program(["migrate", "--new-cluster-key"], { env: { NEBULA_DATA: server.dataDir } });
    assert.equal(await migrate.exit(), 0, migrate.output);
    assert.equal(existsSync(join(server.dataDir, "cluster-key.new")), false);
    await server.startAgain();
    await eventually(async () => /"watches": ?[1-9]/.test(await post("StatusService/GetStatus", {})), { timeoutMs: 30_000 });
    await throughout(1000, async () => {
      const [container] = await worker.engine.running("web");
      assert.equal(container?.Id, before?.Id);
    });
    const now = await post("AppService/GetApp", { name: "web" });
    assert.match(now, SHOWN);
    assert.ok(shown !== undefined && !now.includes(shown), "what is shown is made with the key");
    await server.api.updateApp("web", { envVars: { GREETING: "hello" } });
    const [after] = await worker.engine.settled("web", 1, ({ Config }) => Config.Env.includes("GREETING=hello"));
    assert.ok(after?.Config.Env.includes(`TOKEN=${CHANGED}`));
    assertNowhere([migrate.output, server.program.output, worker.program.output], "a log");
  });
});
