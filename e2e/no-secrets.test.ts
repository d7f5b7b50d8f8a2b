import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { ALL_SETTINGS } from "../common/settings/settings-table.ts";
import { freePort } from "../common/testing/free-port.ts";
import { ReportService } from "../gen/nebula/v1/report_pb.ts";
import { UserService } from "../gen/nebula/v1/user_pb.ts";
import { Program } from "./harness/program.ts";
import { Server } from "./harness/server.ts";
import { SimulatedWorker } from "./harness/simulated-worker.ts";

/** Secrets that can be told from anything else, with those that were handed out. */
class Secrets {
  readonly all = new Map<string, string>();

  make(name: string): string {
    const secret = `Zz${randomBytes(12).toString("hex")}`;
    this.all.set(name, secret);
    return secret;
  }

  /** Fails where a text holds one, as it is or as a header carries it. */
  assertNoneIn(text: string, where: string): void {
    for (const [name, secret] of this.all) {
      for (const form of [secret, Buffer.from(`admin:${secret}`).toString("base64"), Buffer.from(secret).toString("base64").slice(0, -4)]) {
        const at = text.indexOf(form);
        assert.equal(at, -1, `${where} holds ${name}: ...${text.slice(Math.max(0, at - 200), at)}<here>`);
      }
    }
  }
}

const SECRET_SETTINGS = ALL_SETTINGS.filter(({ secret }) => secret).map(({ variable }) => variable);

describe("secrets", function () {
  this.timeout(60_000);
  const secrets = new Secrets();
  const settings = new Map(SECRET_SETTINGS.map((variable) => [variable, secrets.make(variable)]));
  const folder = mkdtempSync(join(tmpdir(), "nebula-no-secrets-"));
  const answers: string[] = [];
  let server: Server;
  let metrics: string;
  before(async () => {
    metrics = `127.0.0.1:${await freePort()}`;
    server = await Server.start({
      env: {
        ...Object.fromEntries(settings),
        NEBULA_LOG_LEVEL: "debug",
        NEBULA_METRICS_LISTEN: metrics,
      },
    });
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  /** A call that is what it is: no client of ours looks at it first. */
  async function call(path: string, { method = "POST", body = "", headers = {} }: { method?: string; body?: string; headers?: object } = {}) {
    const options = { host: "127.0.0.1", port: server.httpPort, path, method, agent: false } as const;
    const sent = request({ ...options, headers: { "content-type": "application/json", ...headers } }).end(body);
    const answer = await new Promise<string>((resolve, reject) => {
      sent.on("error", reject);
      sent.on("response", (response) => text(response).then((got) => resolve(`${JSON.stringify(response.headers)} ${got}`), reject));
    });
    answers.push(answer);
    return answer;
  }

  function basic(user: string, password: string): { authorization: string } {
    return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` };
  }

  function everywhere(): void {
    secrets.assertNoneIn(server.program.output, "the server's output");
    for (const answer of answers) secrets.assertNoneIn(answer, "an answer");
    for (const name of readdirSync(server.dataDir)) {
      // generated ones are files of their own, and no setting here is generated
      secrets.assertNoneIn(readFileSync(join(server.dataDir, name), "latin1"), `the file ${name}`);
    }
    secrets.assertNoneIn(commandLine(server.program), "the process list");
  }

  it("secrets of logins, good and bad, are in no log, answer, file or list of processes", async () => {
    const admin = basic("admin", server.password);
    const user = secrets.make("a user's password");
    await server.api.channel.unary(UserService.method.createUser, { name: "ci", password: user }, { headers: server.api.headers });
    const wrong = secrets.make("a wrong password");
    const token = secrets.make("a wrong token");
    const list = "/nebula.v1.AppService/ListApps";
    assert.match(await call(list, { body: "{}", headers: admin }), /"apps"/);
    assert.match(await call(list, { body: "{}", headers: basic("ci", user) }), /"apps"/);
    const tries = [
      basic("admin", wrong),
      basic(wrong, wrong),
      { authorization: `Bearer ${token}` },
      { authorization: token },
      { authorization: `Basic ${token}` },
      { authorization: `Negotiate ${token}` },
      { cookie: `session=${token}`, "x-api-key": token },
      { "x-request-id": "mine", authorization: `Bearer ${settings.get("NEBULA_ADMIN_TOKEN")}x` },
      { "nebula-part-token": token, authorization: `Bearer ${token}` },
    ];
    for (const headers of tries) {
      for (const path of [
        list,
        "/nebula.v1.AccessService/Check",
        "/api/v2/apps",
        "/api/v2/device_groups/pos/info",
        `/nebula.v1.AppService/${"x".repeat(10)}`,
      ])
        await call(path, { body: "{}", headers });
      await server.api.channel
        .unary(ReportService.method.listReports, {}, { headers: Object.fromEntries(Object.entries(headers)) })
        .catch((error: unknown) => answers.push(String(error)));
    }
    await call(`/api/v2/status?token=${token}&password=${wrong}`, { method: "GET", headers: admin });
    await call(list, { body: "{}", headers: { ...admin, referer: `https://admin:${wrong}@example.com/?token=${token}` } });
    everywhere();
  });

  it("secrets in refused bodies are not repeated", async () => {
    const admin = basic("admin", server.password);
    const secret = secrets.make("a secret value");
    const bodies = [
      { app: { name: "web", docker_image: "busybox:1", secret_env_vars: { "NOT A NAME": secret, TOKEN: secret }, cpus: -1 } },
      { app: { name: "web", docker_image: "busybox:1", env_vars: { A: { nested: secret } } } },
      { app: { name: "web", docker_image: "busybox:1", secret_env_vars: [secret] } },
    ];
    for (const body of bodies) await call("/nebula.v1.AppService/CreateApp", { body: JSON.stringify(body), headers: admin });
    await call("/nebula.v1.AppService/CreateApp", { body: `{"app": {"secret_env_vars": {"A": "${secret}`, headers: admin });
    const password = secrets.make("a password to be");
    for (const body of [
      { name: "not a name", password },
      { name: "x", password: { nested: password } },
      { password },
      { name: "x", password: "short", token: password },
    ])
      await call("/nebula.v1.UserService/CreateUser", { body: JSON.stringify(body), headers: admin });
    await call("/api/v2/users/not%20a%20name", { body: JSON.stringify({ password, token: password }), headers: admin });
    await call("/nebula.v1.AuditService/ListAuditEntries", { body: "{}", headers: admin });
    answers.push(await (await fetch(`http://${metrics}/metrics`)).text());
    everywhere();
  });

  it("secrets of a worker are neither in its output nor in its data folder", async () => {
    await server.api.createGroup("pos", []);
    await using worker = new SimulatedWorker({
      server: server.grpcUrl,
      deviceId: "device-1",
      env: {
        NEBULA_DEVICE_GROUP: "pos",
        NEBULA_LOG_LEVEL: "debug",
        NEBULA_TOKEN: settings.get("NEBULA_ADMIN_TOKEN") ?? "",
      },
    });
    await server.api.reported("device-1");
    await using refused = new SimulatedWorker({
      server: server.url,
      deviceId: "device-2",
      enrollToken: settings.get("NEBULA_ENROLL_TOKEN") ?? "",
      env: {
        NEBULA_LOG_LEVEL: "debug",
        NEBULA_DEVICE_GROUP: "pos",
        NEBULA_USER: "admin",
        NEBULA_PASSWORD: settings.get("NEBULA_PASSWORD") ?? "",
        NEBULA_TOKEN: settings.get("NEBULA_TOKEN") ?? "",
      },
    });
    await refused.program.printed(/refuse|unauthenticated/);
    for (const { output, dataDir, program } of [worker, refused]) {
      secrets.assertNoneIn(output, "a worker's output");
      secrets.assertNoneIn(commandLine(program), "the process list");
      for (const name of readdirSync(dataDir)) secrets.assertNoneIn(readFileSync(join(dataDir, name), "latin1"), `a worker's ${name}`);
    }
    everywhere();
  });

  it("secrets in invalid settings are not shown", async () => {
    const secret = secrets.make("a password in a URL");
    const wrong: Record<string, string>[] = [
      { NEBULA_STORE: `cassandra://nebula:${secret}@` },
      { NEBULA_STORE: `cassandra://host:9042/?password=${secret}` },
      { NEBULA_REDIS: `redis://:${secret}@host:70000` },
      { NEBULA_REDIS: `nonsense://:${secret}@host` },
      { NEBULA_BUS: `kafka://user:${secret}@host` },
      { NEBULA_MANAGERS: `grpc://admin:${secret}@host:50051` },
      { NEBULA_CLUSTER_KEY: secret.slice(0, 6) },
      { NEBULA_ADMIN_PASSWORD_FILE: join(folder, "none") },
    ];
    secrets.all.set("the start of a password", secret.slice(0, 12));
    for (const env of wrong) {
      await using program = new Program(["server"], { env: { NEBULA_DATA: join(folder, "wrong"), NEBULA_HTTP_LISTEN: "127.0.0.1:0", ...env } });
      assert.equal(await program.exit(), 1, JSON.stringify(Object.keys(env)));
      secrets.assertNoneIn(program.output, `the refusal of ${Object.keys(env)}`);
    }
    for (const args of [["--server", `https://admin:${secret}@host`], [`--token=${secret}`]]) {
      await using program = new Program(["worker", "--device-group", "pos", ...args]);
      assert.equal(await program.exit(), 1);
      secrets.assertNoneIn(program.output, "the refusal of a flag");
    }
  });

  it("secrets of nebulactl are not in its output, for any failure", async () => {
    for (const env of [
      { NEBULA_SERVER: server.url, NEBULA_USER: "admin", NEBULA_PASSWORD: settings.get("NEBULA_PASSWORD") ?? "" },
      { NEBULA_SERVER: server.grpcUrl, NEBULA_TOKEN: settings.get("NEBULA_TOKEN") ?? "" },
      { NEBULA_SERVER: "http://127.0.0.1:1", NEBULA_TOKEN: `${settings.get("NEBULA_TOKEN")}\n` },
    ]) {
      await using program = new Program(["--debug", "apps", "list"], { file: "cli/nebulactl.js", env: { ...env, HOME: folder } });
      assert.equal(await program.exit(), 1, program.output);
      secrets.assertNoneIn(program.output, "nebulactl");
    }
  });

  it("secrets of a migration to a new cluster key are not in its output", async () => {
    await server.stop();
    const env = {
      NEBULA_DATA: server.dataDir,
      NEBULA_CLUSTER_KEY: settings.get("NEBULA_CLUSTER_KEY") ?? "",
      NEBULA_NEW_CLUSTER_KEY: settings.get("NEBULA_NEW_CLUSTER_KEY") ?? "",
      NEBULA_LOG_LEVEL: "debug",
    };
    await using program = new Program(["migrate"], { env });
    await program.exit();
    secrets.assertNoneIn(program.output, "nebula migrate");
    everywhere();
  });
});

function commandLine(program: Program): string {
  try {
    return readFileSync(`/proc/${program.child.pid}/cmdline`, "utf8");
  } catch {
    return ""; // it has ended, or the system shows none
  }
}
