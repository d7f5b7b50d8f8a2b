import { strict as assert } from "node:assert";
import { createClient } from "@connectrpc/connect";
import { credentials } from "@grpc/grpc-js";
import { tokenHash } from "../../../../common/access/tokens.ts";
import { GrpcChannel } from "../../../../common/rpc/grpc-channel.ts";
import { eventually } from "../../../../common/testing/eventually.ts";
import { sampleReport } from "../../../../common/testing/sample-report.ts";
import { AccessService } from "../../../../gen/nebula/v1/access_pb.ts";
import { ConfigService } from "../../../../gen/nebula/v1/config_pb.ts";
import { ContainerState, FailureCode, ReportService, StepKind, TargetState } from "../../../../gen/nebula/v1/report_pb.ts";
import { connectTo } from "../../connection/transport.ts";
import { readServerUrl } from "../../session/server-url.ts";
import { asAdmin } from "../../testing/as-admin.ts";
import { assertGolden } from "../../testing/golden.ts";
import { ADMIN, startTestServer, type TestServer } from "../../testing/test-server.ts";

/** Replaces the parts that differ from run to run: ages, etags, times, names of shards. */
function steady(text: string): string {
  return text
    .replaceAll(/\b\d+ (?:s|min)\b/g, "AGE")
    .replaceAll(/etag [\w-]{6}/g, "etag ETAG")
    .replaceAll(/the device has [\w-]{6}/g, "the device has ETAG")
    .replaceAll(/shard [\w.-]+/g, "shard SHARD")
    .replaceAll(/("?shard"?): "?[\w.-]+"?/g, "$1: SHARD")
    .replaceAll(/(_at|"at"|\bat|since)("?: )"?\d{4}-[^",\n]*"?/g, "$1$2TIME")
    .replaceAll(/(_for_ms|_in_ms)("?: )\d+/g, "$1$2MS")
    .replaceAll(/(newest_etag|device_etag)("?: )"?[\w-]{8,}"?/g, "$1$2ETAG");
}

const golden = (name: string, text: string) => assertGolden(new URL(`golden/${name}`, import.meta.url), steady(text));

describe("nebulactl why", function () {
  this.timeout(120_000);
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await printed("apps create web --image shop:1.4 --starting_ports 80:8080");
    await printed("apps update web --image shop:1.5 --env REGION=eu");
    await printed("apps create api --image api:1");
    await printed("apps create idle --image idle:1 --stopped");
    await printed("apps create gone --image gone:1");
    await printed(["cron-jobs", "create", "web", "--image", "backup:1", "--schedule", "@daily"]);
    await printed("device-groups create pos --apps web,api,idle,gone --cron-jobs web");
    assert.equal((await run("apps delete gone --yes")).code, 0);
  });
  const gone = new AbortController();
  after(async () => {
    gone.abort();
    await server[Symbol.asyncDispose]();
  });

  const { run, printed, refused } = asAdmin(() => server);

  const transportAs = (token: string) =>
    connectTo({ server: readServerUrl(server.http, "test"), serverFrom: "test", credentials: { kind: "token", token }, credentialsFrom: "test" });

  const applied = (name: string, revision = 1n) => ({ name, revision, appliedRevision: revision, state: TargetState.APPLIED });
  const web1 = { name: "web-1", image: "shop:1.4", revision: 1n, state: ContainerState.RUNNING };
  const failed = {
    ...{ name: "web", revision: 2n, appliedRevision: 1n, state: TargetState.FAILED, containers: [web1] },
    ...{ step: "ports", stepKind: StepKind.PORTS, failureCode: FailureCode.PORT_TAKEN, tries: 3, retryInMs: 3_600_000n, stateForMs: 0n },
    reason: 'host port 80 is held by container "nginx" (not managed by Nebula)',
  };

  /** Opens a watch as a device does, and waits until it counts as connected. */
  async function connect(deviceId: string, deviceGroup: string): Promise<void> {
    const channel = new GrpcChannel(server.grpc.replace("grpc://", ""), credentials.createInsecure());
    gone.signal.addEventListener("abort", () => channel[Symbol.dispose]());
    const call = { headers: { authorization: `Bearer ${ADMIN.token}` }, signal: gone.signal };
    const answers = channel.serverStream(
      ConfigService.method.watchConfig,
      { deviceGroup, deviceId, boot: "b", keepaliveMs: 300_000, serveHere: true },
      call,
    );
    void (async () => {
      for await (const _ of answers);
    })().catch(() => {});
    await eventually(async () => /^connected +yes/m.test((await run(`devices info ${deviceId}`)).out), { timeoutMs: 20_000 });
  }

  /** Sends a report as a device does that is connected, or was, and waits until `why` has it. */
  async function report(deviceId: string, fields: Parameters<typeof sampleReport>[0] = {}, isConnected = true): Promise<void> {
    const transport = await transportAs(ADMIN.token);
    const etag = fields.deviceGroup === undefined ? (await createClient(ConfigService, transport).getConfig({ deviceGroup: "pos" })).etag : "";
    const sent = sampleReport({ deviceId, deviceGroup: "pos", etag, apps: [], state: TargetState.FAILED, ...fields });
    if (isConnected) await connect(deviceId, sent.deviceGroup);
    await createClient(ReportService, transport).submitReports({ reports: [sent] });
    await eventually(async () => /^state /m.test((await run(`devices info ${deviceId}`)).out));
  }

  it("nebulactl why shows the whole way of one app, from its revision to what to do", async () => {
    await report("pos-0117", { apps: [failed, applied("api"), applied("idle"), applied("gone", 2n)], cronJobs: [applied("web")] });
    await golden("one.txt", await printed("why pos-0117 app/web"));
    await report("pos-0116", { apps: [{ ...failed, containers: [] }] });
    await golden("one-json.txt", await printed("why pos-0116 app/web -o json"));
    await golden("one-yaml.txt", await printed("why --device pos-0116 --app apps/web -o yaml"));
  });

  it("nebulactl why shows all apps and cron_jobs of a device, the stuck ones first", async () => {
    await report("pos-0118", {
      apps: [failed, { ...applied("api"), containers: [{ ...web1, name: "api-1" }] }, applied("idle"), applied("gone", 2n)],
      cronJobs: [applied("web")],
    });
    await golden("all.txt", await printed("why pos-0118"));
    await golden("stopped.txt", await printed("why pos-0118 idle"));
    await golden("deleted.txt", await printed("why pos-0118 gone"));
    await golden("cron-job.txt", await printed("why pos-0118 cron_job/web"));
  });

  it("nebulactl why shows the problems of a device, and a change that it has not answered", async () => {
    const problems = [
      { code: "engine_unreachable", message: "connect ENOENT /var/run/docker.sock" },
      { code: "state_not_saved", message: "no space left on device" },
    ];
    await report("pos-0119", { apps: [failed], problems });
    await golden("problems.txt", await printed("why pos-0119"));
    await golden("problem-of-one.txt", await printed("why pos-0119 app/web"));
    await report("pos-0120", { etag: "0123456789abcdef", apps: [applied("web")] });
    await golden("not-delivered.txt", await printed("why pos-0120 app/web"));
    await report("pos-0124", { apps: [failed] }, false);
    await golden("failed-and-offline.txt", await printed("why pos-0124 app/web"));
  });

  it("nebulactl why has a clear sentence for a device that never reported, one whose group does not exist, and an app of another group", async () => {
    const { token } = JSON.parse(await printed("devices enroll --device-group pos -o json"));
    const hash = Buffer.from(tokenHash("secret of pos-0121"), "hex");
    await createClient(AccessService, await transportAs(token)).enrollDevice({ deviceId: "pos-0121", tokenHash: hash });
    await golden("never-connected.txt", await printed("why pos-0121 app/web"));
    await connect("pos-0126", "pos");
    await golden("never-reported.txt", await printed("why pos-0126 app/web"));
    await report("lost-1", {
      deviceGroup: "lost",
      etag: "0123456789abcdef",
      apps: [applied("web")],
      problems: [{ code: "no_such_group", message: "there is no device_group lost" }],
    });
    await golden("no-group.txt", await printed("why lost-1"));
    await printed("device-groups create empty --apps=");
    await report("empty-1", { deviceGroup: "empty", apps: [] });
    await golden("not-in-group.txt", await printed("why empty-1 api"));
    await golden("no-apps.txt", await printed("why empty-1"));
  });

  it("nebulactl why explains a device of the original by the revisions that it reports", async () => {
    const config = {
      apps: [
        { app_name: "api", app_id: 1, docker_image: "api:1" },
        { app_name: "web", app_id: 1, docker_image: "shop:1.4" },
      ],
    };
    const original = {
      hostname: "old-1",
      device_group: "pos",
      report_creation_time: Math.floor(Date.now() / 1000),
      current_device_group_config: config,
    };
    await server.reportBus.publish({ key: null, value: Buffer.from(JSON.stringify(original)) }, new AbortController().signal);
    await eventually(async () => (await run("devices info old-1")).code === 0);
    await golden("original.txt", await printed("why old-1 app/web"));
  });

  it("nebulactl why refuses what does not exist and what is ambiguous, in one line", async () => {
    await report("pos-0122", { apps: [failed] });
    await refused("why nope", /there is no device "nope"/);
    await refused("why pos-0122 nope", /no app or cron_job "nope"/);
    await refused("why pos-0122 web", /use app\/web or cron_job\/web/);
    await refused("why pos-0122 user/web", /invalid APP "user\/web": use web, app\/web or cron_job\/web/);
    await refused("why pos-0122 app/", /invalid APP "app\/"/);
    await refused("why", /DEVICE or --device/);
  });

  it("nebulactl why shows text of a device as text", async () => {
    await report("pos-0123", { apps: [{ ...failed, reason: "\u001b[31mred\u202e\nsecond line", containers: [{ ...web1, name: "a\u0007b;c" }] }] });
    const out = await printed("why pos-0123 app/web");
    for (const unsafe of ["\u001b", "\u0007", "\u202e"]) assert.ok(!out.includes(unsafe), JSON.stringify(out));
    assert.match(out, /^step +ports: \\x1b\[31mred\\u202e second line; tried 3 times; next try in \d+ min$/m);
  });
});
