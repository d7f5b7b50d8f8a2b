import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../../common/testing/eventually.ts";
import { freePort } from "../../common/testing/free-port.ts";
import { Program } from "../harness/program.ts";
import { SimulatedWorker } from "../harness/simulated-worker.ts";

/** How long a process may take to start, and the others to notice. */
const STARTS = { timeoutMs: 60_000 };

type Ports = Readonly<{ grpc: number; http: number; managerMetrics: number; gatewayMetrics: number; workerMetrics: number }>;

/** The answer of /healthz or /readyz: its status, and what is missing. */
async function look(port: number, path: "healthz" | "readyz"): Promise<readonly [status: number, missing: readonly string[]]> {
  const response = await fetch(`http://127.0.0.1:${port}/${path}`);
  const text = await response.text();
  return [response.status, text === "ok\n" ? [] : Object(JSON.parse(text)).not_ready];
}

async function metricsOf(port: number): Promise<string> {
  return await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
}

/** The value of a metric without labels; undefined if it is not shown. */
function metricOf(metrics: string, name: string): number | undefined {
  const [, value] = new RegExp(`^${name} (\\S+)$`, "m").exec(metrics) ?? [];
  return value === undefined ? undefined : Number(value);
}

describe("manager, gateway and worker as processes of their own", function () {
  this.timeout(240_000);
  let dataDir: string;
  let ports: Ports;
  let base: Readonly<Record<string, string>>;

  before(async () => {
    dataDir = await mkdtemp(join(tmpdir(), "nebula-processes-"));
    const [grpc, http, managerMetrics, gatewayMetrics, workerMetrics] = [
      await freePort(),
      await freePort(),
      await freePort(),
      await freePort(),
      await freePort(),
    ];
    ports = { grpc, http, managerMetrics, gatewayMetrics, workerMetrics };
    base = { NEBULA_CLUSTER_KEY: "cluster key of a test of processes", NEBULA_ADMIN_PASSWORD: "secret of a test" };
  });
  after(() => rm(dataDir, { recursive: true, force: true }));

  function manager(): Program {
    const listen = { NEBULA_GRPC_LISTEN: `127.0.0.1:${ports.grpc}`, NEBULA_METRICS_LISTEN: `127.0.0.1:${ports.managerMetrics}` };
    return new Program(["manager"], { env: { ...base, ...listen, NEBULA_DATA: dataDir, NEBULA_SHARD: "shard-a" } });
  }

  function gateway(): Program {
    const listen = { NEBULA_HTTP_LISTEN: `127.0.0.1:${ports.http}`, NEBULA_METRICS_LISTEN: `127.0.0.1:${ports.gatewayMetrics}` };
    return new Program(["gateway"], { env: { ...base, ...listen, NEBULA_MANAGERS: `grpc://localhost:${ports.grpc}` } });
  }

  async function call(method: string, body: object): Promise<{ status: number; body: Record<string, unknown> }> {
    const authorization = `Basic ${Buffer.from("admin:secret of a test").toString("base64")}`;
    const response = await fetch(`http://127.0.0.1:${ports.http}/nebula.v1.${method}`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization },
      body: JSON.stringify(body),
    });
    return { status: response.status, body: Object(await response.json()) };
  }

  it("manager, gateway and worker report what is missing until it is reachable, deliver a change to a device together, and each stop by themselves", async () => {
    await using front = gateway();
    await eventually(async () => (await look(ports.gatewayMetrics, "healthz"))[0] === 200, STARTS);
    assert.deepEqual(await look(ports.gatewayMetrics, "readyz"), [503, ["gateway: no manager answers"]]);
    assert.equal((await fetch(`http://127.0.0.1:${ports.http}/healthz`)).status, 200, "/healthz follows no other process");
    assert.equal((await call("StatusService/GetStatus", {})).status, 503);

    await using shard = manager();
    await eventually(async () => (await look(ports.managerMetrics, "readyz"))[0] === 200, STARTS);
    await eventually(async () => (await look(ports.gatewayMetrics, "readyz"))[0] === 200, STARTS);
    await shard.printed(/"shard":"shard-a".*"the manager listens"/);
    assert.equal((await call("AppService/CreateApp", { app: { name: "web", docker_image: "shop:1" } })).status, 200);
    assert.equal((await call("DeviceGroupService/CreateDeviceGroup", { device_group: { name: "shops", apps: ["web"] } })).status, 200);

    await using device = new SimulatedWorker({
      server: `http://127.0.0.1:${ports.http}`,
      deviceId: "device-1",
      env: {
        NEBULA_USER: "admin",
        NEBULA_PASSWORD: "secret of a test",
        NEBULA_DEVICE_GROUP: "shops",
        NEBULA_METRICS_LISTEN: `127.0.0.1:${ports.workerMetrics}`,
      },
    });
    const pushes = async () => metricOf(await metricsOf(ports.managerMetrics), "nebula_pushes_total");
    await eventually(async () => (await pushes()) === 1, STARTS);
    assert.equal((await look(ports.workerMetrics, "readyz"))[0], 200);
    assert.equal((await call("AppService/UpdateApp", { app: { name: "web", docker_image: "shop:2" }, update_fields: ["docker_image"] })).status, 200);
    await eventually(async () => (await pushes()) === 2);

    const metrics = await metricsOf(ports.managerMetrics);
    assert.deepEqual(
      ["nebula_members", "nebula_members_impaired", "nebula_watches", "nebula_hand_over_waiting"].map((name) => metricOf(metrics, name)),
      [1, 0, 1, 0],
    );
    for (const name of ["nebula_calls", "nebula_watch_ends_total", "nebula_hand_overs_total", "nodejs_eventloop_lag_p99_seconds"])
      assert.match(metrics, new RegExp(`^# TYPE ${name} `, "m"));
    assert.match(await metricsOf(ports.gatewayMetrics), /^nebula_gateway_managers\{state="up"\} 1$/m);

    assert.equal(await shard.stop(), 0);
    await eventually(async () => (await look(ports.gatewayMetrics, "readyz"))[0] === 503);
    assert.equal((await look(ports.gatewayMetrics, "healthz"))[0], 200);
    await using again = manager();
    await eventually(async () => (await look(ports.gatewayMetrics, "readyz"))[0] === 200, STARTS);
    await eventually(async () => metricOf(await metricsOf(ports.managerMetrics), "nebula_watches") === 1, STARTS);
    assert.equal(await pushes(), 0, "the device holds the newest config, and is sent none again");

    assert.equal(await front.stop(), 0);
    assert.equal(await again.stop(), 0);
    assert.equal(device.program.ended, false, "a worker outlives its server");
    assert.equal(await device.program.stop(), 0);
    for (const program of [front, shard, again]) assert.ok(!program.output.includes("secret of a test"));
  });
});
