import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { request } from "node:http";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type App, AppSchema } from "../../../gen/nebula/v1/app_pb.ts";
import { DOCKER_SOCKET, requireDocker } from "../../testing/require-docker.ts";
import { validateApp } from "../app.ts";

type Fields = MessageInitShape<typeof AppSchema>;

/** Fields that a real engine takes, then those that it refuses: the rules have to agree. None depend on the device (its cores, its files). */
const taken: readonly Fields[] = [
  { volumes: ["/tmp:/x"] },
  { volumes: ["/tmp:/x:ro,z"] },
  { volumes: ["/tmp:/x:"] },
  { volumes: ["/tmp:/x:cached"] },
  { tmpfs: { "/x": "size=64m,mode=1777" } },
  { tmpfs: { "/x": "noexec,size=50%,nr_inodes=1k" } },
  { extraHosts: ["db:1.2.3.4", "db6:fd00::5"] },
  { capAdd: ["net_admin", "CAP_CHOWN"] },
  { user: "2147483647:0" },
  { workingDir: "/a b/../c" },
  { hostname: "pos_1.example" },
  { envVars: { "A B": "x\n", ä: "" } },
  { logging: { driver: "json-file", options: { "max-size": "10 mb", "max-file": "3", mode: "non-blocking" } } },
  { logging: { driver: "local", options: { "max-size": "10M", compress: "false" } } },
  { memoryLimitMb: 6 },
  { cpus: 0.01 },
  { ulimits: [{ name: "core", soft: 0n, hard: -1n }] },
];
const refused: readonly Fields[] = [
  { volumes: ["a:/x"] },
  { volumes: ["./d:/x"] },
  { volumes: ["/tmp:x"] },
  { volumes: ["/tmp:/.."] },
  { volumes: ["/tmp:ro"] },
  { volumes: ["/tmp:/x:ro,rw"] },
  { volumes: ["/tmp:/x:nocopy"] },
  { volumes: ["/tmp:/x:ro:z"] },
  { volumes: ["/tmp:/x", "/var:/x/"] },
  { volumes: ["/tmp:/x"], tmpfs: { "/x": "" } },
  { tmpfs: { "/": "" } },
  { tmpfs: { "/x": "size=64x" } },
  { tmpfs: { "/x": "mode=9" } },
  { tmpfs: { "/x": "huge=always" } },
  { extraHosts: ["db:1.2.3"] },
  { extraHosts: ["db:[::1]"] },
  { extraHosts: ["db"] },
  { capAdd: ["NOPE"] },
  { user: "2147483648" },
  { user: "-1" },
  { workingDir: "x" },
  { hostname: "a".repeat(65) },
  { envVars: { "": "x" } },
  { envVars: { A: "\0" } },
  { logging: { driver: "json-file", options: { "max-sise": "1m" } } },
  { logging: { driver: "json-file", options: { "max-size": "-1" } } },
  { logging: { driver: "json-file", options: { "max-size": "1m", "max-file": "0" } } },
  { memoryLimitMb: 5 },
  { cpus: 0.005 },
  { ulimits: [{ name: "core", soft: 3n, hard: 2n }] },
  { ulimits: [{ name: "nope", soft: 1n, hard: 2n }] },
];

describe("the rules and a real engine", function () {
  this.timeout(60_000);
  const label = `nebula-test-${randomBytes(6).toString("hex")}`;
  before(function () {
    return requireDocker(this);
  });

  for (const fields of taken) {
    it(`the rules and a real engine both take ${JSON.stringify(fields, plain)}`, async () => {
      const app = create(AppSchema, { name: "web", dockerImage: "busybox:1", ...fields });
      assert.deepEqual(validateApp(app), []);
      assert.equal(await engineSays(app, label), "started");
    });
  }

  for (const fields of refused) {
    it(`the rules and a real engine both refuse ${JSON.stringify(fields, plain).slice(0, 80)}`, async () => {
      const app = create(AppSchema, { name: "web", dockerImage: "busybox:1", ...fields });
      assert.notDeepEqual(validateApp(app), []);
      assert.notEqual(await engineSays(app, label), "started");
    });
  }
});

async function engineSays(app: App, label: string): Promise<string> {
  const created = await call("POST", "/containers/create", {
    Image: app.dockerImage,
    Cmd: ["true"],
    Labels: { [label]: "" },
    Env: Object.entries(app.envVars).map(([name, value]) => `${name}=${value}`),
    User: app.user,
    WorkingDir: app.workingDir,
    Hostname: app.hostname,
    HostConfig: {
      Binds: app.volumes,
      Tmpfs: app.tmpfs,
      ExtraHosts: app.extraHosts,
      CapAdd: app.capAdd,
      NanoCpus: app.cpus * 1e9,
      Memory: app.memoryLimitMb * 1024 * 1024,
      Ulimits: app.ulimits.map(({ name, soft, hard }) => ({ Name: name, Soft: Number(soft), Hard: Number(hard) })),
      ...(app.logging === undefined ? {} : { LogConfig: { Type: app.logging.driver, Config: app.logging.options } }),
    },
  });
  const id: unknown = JSON.parse(created.body).Id;
  if (typeof id !== "string") return created.body;
  try {
    const started = await call("POST", `/containers/${id}/start`);
    return started.status === 204 ? "started" : started.body;
  } finally {
    await call("DELETE", `/containers/${id}?force=true&v=true`);
  }
}

function call(method: string, path: string, body?: unknown): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath: DOCKER_SOCKET, method, path, headers: { "content-type": "application/json" } }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
    });
    sent.on("error", reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function plain(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? Number(value) : value;
}
