import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { requireCommand } from "../common/testing/require-command.ts";
import { Server } from "./harness/server.ts";

describe("a gRPC client that is not ours", function () {
  this.timeout(60_000);
  let server: Server;
  before(function () {
    requireCommand(this, "grpcurl", "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest");
  });
  Server.forSuite({}, (started) => {
    server = started;
  });

  const grpcurl = (...args: string[]) => {
    const login = `authorization: Basic ${Buffer.from(`admin:${server.password}`).toString("base64")}`;
    return spawnSync("grpcurl", ["-plaintext", "-H", login, ...args], { encoding: "utf8" });
  };
  const address = () => `127.0.0.1:${server.grpcPort}`;
  const call = (method: string, request: object) => grpcurl("-d", JSON.stringify(request), address(), `nebula.v1.${method}`);

  it("a foreign gRPC client finds the services by reflection", () => {
    const { stdout, stderr } = grpcurl(address(), "list");
    for (const service of [
      "AppService",
      "CronJobService",
      "DeviceGroupService",
      "ConfigService",
      "ReportService",
      "DeviceService",
      "PlanService",
      "ShardService",
      "StatusService",
    ]) {
      assert.ok(stdout.includes(`nebula.v1.${service}`), `${service} in ${stdout}${stderr}`);
    }
    assert.match(grpcurl(address(), "describe", "nebula.v1.App").stdout, /docker_image/);
  });

  it("a foreign gRPC client creates, reads and changes an app", () => {
    const created = call("AppService/CreateApp", {
      app: { name: "web", docker_image: "shop:1.4", starting_ports: [{ host_port: 8080, container_port: 80 }] },
    });
    assert.equal(JSON.parse(created.stdout).app.revision, "1", created.stderr);
    const updated = call("AppService/UpdateApp", { app: { name: "web", docker_image: "shop:1.5" }, update_fields: ["docker_image"] });
    assert.equal(JSON.parse(updated.stdout).app.dockerImage, "shop:1.5", updated.stderr);
    assert.equal(JSON.parse(call("AppService/GetApp", { name: "web" }).stdout).app.revision, "2");
  });

  it("a foreign gRPC client learns the violations of its request, field by field", () => {
    const { stderr, status } = call("AppService/CreateApp", {
      app: { name: "bad name", docker_image: "Shop", starting_ports: [{ host_port: 70000, container_port: 80 }] },
    });
    assert.notEqual(status, 0);
    assert.match(stderr, /InvalidArgument/);
    for (const field of ["name", "docker_image", "starting_ports[0].host_port"]) assert.ok(stderr.includes(field), `${field} in ${stderr}`);
  });

  it("a foreign gRPC client is refused without a login, but for the health service", () => {
    const anonymous = (...args: string[]) => spawnSync("grpcurl", ["-plaintext", ...args], { encoding: "utf8" });
    assert.match(anonymous("-d", "{}", address(), "nebula.v1.AppService/ListApps").stderr, /Unauthenticated|login|credential/i);
    const { stdout, stderr } = grpcurl("-d", "{}", address(), "grpc.health.v1.Health/Check");
    assert.match(stdout, /SERVING/, stderr);
  });

  it("a foreign gRPC client watches a config", () => {
    call("DeviceGroupService/CreateDeviceGroup", { device_group: { name: "pos", apps: ["web"] } });
    const { stdout } = grpcurl(
      "-max-time",
      "2",
      "-d",
      JSON.stringify({ device_group: "pos", serve_here: true }),
      address(),
      "nebula.v1.ConfigService/WatchConfig",
    );
    const { config } = JSON.parse(stdout);
    assert.equal(config.config.apps[0].app.dockerImage, "shop:1.5");
    assert.match(config.etag, /^[\w-]{22}$/);
  });

  it("a foreign gRPC client finds WatchAndReport by reflection, watches, and reports on the same stream", () => {
    const described = grpcurl(address(), "describe", "nebula.v1.ConfigService").stdout;
    assert.match(
      described,
      /rpc WatchAndReport \( stream \.nebula\.v1\.WatchAndReportRequest \) returns \( stream \.nebula\.v1\.WatchAndReportResponse \)/,
    );
    const watch = { device_group: "pos", device_id: "foreign-1", boot: "b1", serve_here: true };
    const report = { device_id: "foreign-1", device_group: "pos", boot: "b1", seq: 1, created_at: "2026-01-01T00:00:00Z", instance: "main" };
    const requests = [{ watch }, { reports: { reports: [report] } }, { reports: {} }].map((request) => JSON.stringify(request)).join("\n");
    const { stdout, stderr } = grpcurl("-max-time", "2", "-emit-defaults", "-d", requests, address(), "nebula.v1.ConfigService/WatchAndReport");
    const answers: readonly Record<string, Record<string, unknown>>[] = JSON.parse(`[${stdout.trim().replaceAll(/^\}\n\{/gm, "},\n{")}]`);
    const reported = answers.flatMap((answer) => (answer.report === undefined ? [] : [[answer.report.code, answer.report.byCall]]));
    assert.deepEqual(
      reported,
      [
        [0, false],
        [3, false],
      ],
      stderr,
    );
    assert.equal(answers.filter((answer) => answer.config !== undefined).length, 1);
  });
});
