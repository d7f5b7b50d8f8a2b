import { strict as assert } from "node:assert";
import { type Client, createClient } from "@connectrpc/connect";
import { eventually } from "../../../../common/testing/eventually.ts";
import { sampleReport } from "../../../../common/testing/sample-report.ts";
import { ReportService, TargetState } from "../../../../gen/nebula/v1/report_pb.ts";
import { connectTo } from "../../connection/transport.ts";
import { readServerUrl } from "../../session/server-url.ts";
import { asAdmin } from "../../testing/as-admin.ts";
import { ADMIN, startTestServer, type TestServer } from "../../testing/test-server.ts";

describe("nebulactl on devices and reports", () => {
  let server: TestServer;
  let reports: Client<typeof ReportService>;
  before(async () => {
    server = await startTestServer();
    const transport = await connectTo({
      server: readServerUrl(server.http, "test"),
      serverFrom: "test",
      credentials: { kind: "token", token: ADMIN.token },
      credentialsFrom: "test",
    });
    reports = createClient(ReportService, transport);
    await reports.submitReports({
      reports: [sampleReport({ deviceId: "pos-1", deviceGroup: "pos" }), sampleReport({ deviceId: "pos-1", deviceGroup: "pos", seq: 2n })],
    });
    await reports.submitReports({
      reports: [
        sampleReport({
          deviceId: "till-1",
          deviceGroup: "till",
          state: TargetState.FAILED,
          apps: [{ name: "web", revision: 4n, appliedRevision: 3n, state: TargetState.FAILED, step: "pull", reason: "no space left on device" }],
        }),
      ],
    });
  });
  after(() => server[Symbol.asyncDispose]());

  const { run, printed, refused } = asAdmin(() => server);
  const listed = async (flags: string): Promise<string[]> =>
    JSON.parse(await printed(`devices list ${flags} -o json`)).map((device: { device_id: string }) => device.device_id);

  it("devices are listed with their newest status, by group and state", async () => {
    await eventually(async () => assert.equal((await printed("devices list")).split("\n").length, 4));
    const all = await printed("devices list");
    assert.match(all, /^pos-1 +pos .*applied +0\/1 +0\.1\.0$/m);
    assert.match(all, /^till-1 +till .*failed +0\/0 +0\.1\.0 +web: pull: no space left on device$/m);
    assert.match(await printed("devices list --device_group till"), /^DEVICE.+\ntill-1 .+\n$/);
    assert.match(await printed("devices list --state applied --limit 5"), /^DEVICE.+\npos-1 .+\n$/);
    assert.deepEqual(
      JSON.parse(await printed("devices list -o json")).map((device: { device_id: string; report: { worker_version: string } }) => [
        device.device_id,
        device.report.worker_version,
      ]),
      [
        ["pos-1", "0.1.0"],
        ["till-1", "0.1.0"],
      ],
    );
    const narrow = { columns: 60 };
    assert.match(await printed("devices list --device-group till", narrow), /^till-1 .*…$/m);
    assert.match(await printed("devices list --device-group till -o wide", narrow), /^till-1 .*web: pull: no space left on device$/m);
    await refused("devices list --device-group nope", /device_group "?nope/);
  });

  it("devices are chosen by filters, and counted by group", async () => {
    assert.deepEqual(await listed("--failing"), ["till-1"]);
    assert.deepEqual(await listed("--worker-version 0.1.0 --state applied"), ["pos-1"]);
    assert.deepEqual(await listed("--online"), []);
    assert.deepEqual(await listed("--offline"), ["pos-1", "till-1"]);
    assert.deepEqual(await listed("--offline-longer 90d"), []);
    // neither device_group exists, so their devices keep what they run
    assert.deepEqual(await listed("--standing applied"), ["pos-1", "till-1"]);
    assert.deepEqual(await listed("--standing failed"), []);
    assert.deepEqual(await listed("--problem engine_unreachable"), []);
    await refused("devices list --standing fine", /applied/);
    assert.match(await printed("devices list -d pos"), /^pos-1 +pos +offline \d+ (s|min) +applied /m);
    assert.match(await printed("devices count"), /^DEVICE_GROUP .*\npos +1 +0 +1 +1 +0 +0 +0 .*\ntill +1 +0 +1 +0 +0 +1 +0 .*\n$/);
    assert.equal(JSON.parse(await printed("devices count -d till -o json"))[0].failed, 1);
    await refused("devices count -d nope", /device_group "?nope/);
    assert.equal(await printed("devices delete --offline-longer 90d"), "no device has been offline for longer than 90d\n");
  });

  it("devices are chosen by an app, and by where they stand with it or with a change of it", async () => {
    await printed("apps create web --image busybox:1");
    await printed("device-groups create till --apps web");
    await printed("apps update web --image busybox:2");
    assert.deepEqual(await listed("--target web"), ["till-1"]);
    assert.deepEqual(await listed("--target app/web@2 -d till --standing failed"), ["till-1"]);
    assert.deepEqual(await listed("--target web --standing failed --code exits"), []);
    assert.deepEqual(await listed("--target device_group/till@1 --standing failed"), ["till-1"]);
    await refused("devices list --target web@3", /revision 3 of app web never was/);
    await refused("devices list --target nope", /"?nope/);
    await refused("devices watch -d till --target web@0", /invalid --target "web@0": use a name such as web, cron_job\/web, or web@41/);
    await printed("device-groups delete till --yes");
    await printed("apps delete web --yes");
  });

  it("devices are listed in an order, either way round, page by page", async () => {
    assert.deepEqual(await listed("--sort state"), ["till-1", "pos-1"]);
    assert.deepEqual(await listed("--sort state:desc"), ["pos-1", "till-1"]);
    assert.deepEqual(await listed("--sort device-id:desc"), ["till-1", "pos-1"]);
    for (const sort of ["device_id", "device_group", "standing", "connection", "reported", "worker_version"]) {
      assert.deepEqual((await listed(`--sort ${sort}`)).sort(), ["pos-1", "till-1"], sort);
    }
    const first = await run("devices list --sort state --limit 1");
    assert.match(first.out, /^DEVICE .*\ntill-1 .*\n$/);
    const [, token = ""] = /^showing 1; more with --last-id (\S+)\n$/.exec(first.err) ?? [];
    assert.match(await printed(`devices list --sort state --last-id ${token}`), /^DEVICE .*\npos-1 .*\n$/);
    await refused(`devices list --sort reported --last-id ${token}`, /is of a list by state; give order and descending/);
    await refused("devices list --sort age", /invalid --sort "age": use device_id, device_id:desc, /);
  });

  it("a device is shown, and deleted", async () => {
    assert.match(await printed("devices info till-1"), /^problems +web: pull: no space left on device$/m);
    assert.match(await printed("devices info --device pos-1 -o yaml"), /^device_id: pos-1\n/);
    assert.match((await run("devices info nope")).err, /^error: .*nope.*\n$/);
    assert.equal(await printed("devices delete till-1"), "device till-1 deleted\n");
    assert.equal((await run("devices info till-1")).code, 1);
  });

  it("the history of reports is listed with the original's flags and ours", async () => {
    assert.match(await printed("reports"), /^RECEIVED.+\n(\S+Z +(pos|till)-1 .+\n){3}$/);
    assert.match(await printed("reports -h pos-1 -d pos"), /^RECEIVED.+\n(\S+Z +pos-1 .+\n){2}$/);
    assert.match(await printed("reports list --since 1h --state failed"), /^RECEIVED.+\n\S+Z +till-1 .+\n$/);
    assert.deepEqual((await run("reports --until 1h")).err, "no reports\n");
    assert.deepEqual((await run(`reports -f lt -r ${Math.floor(Date.now() / 1000) - 3600}`)).err, "no reports\n");
    const lines = async (flags: string) => ((await run(`reports ${flags}`)).out.match(/^\S+Z /gm) ?? []).length;
    const inV2 = await fetch(`${server.http}/api/v2/reports?updated=True`, { headers: { authorization: `Bearer ${ADMIN.token}` } });
    const updated = Object(await inV2.json()).data.length;
    assert.deepEqual([await lines("-u True"), await lines("--updated false")], [updated, 3 - updated]);
    assert.ok(updated > 0 && updated < 3, "there are reports of both kinds");
    const first = await run("reports --page_size 2 -o json");
    assert.equal(JSON.parse(first.out).length, 2);
    const [, token = ""] = /^showing \d+; more with --last-id (\S+)\n$/.exec(first.err) ?? [];
    assert.equal(JSON.parse(await printed(`reports --last_id ${token} -o json`)).length, 1);
  });

  it("devices are watched until Ctrl-C, with a line for each that changes", async () => {
    const stop = new AbortController();
    let out = "";
    const watching = run("devices watch -d pos", {
      signal: stop.signal,
      onOut: (text) => {
        out += text;
        if (text.includes("working")) stop.abort(new Error("Ctrl-C"));
      },
    });
    const ended = watching.then(() => true);
    for (let seq = 3n; !(await Promise.race([ended, eventually(() => out.includes("working"), { timeoutMs: 500 }).catch(() => false)])); seq++) {
      await reports.submitReports({
        reports: [sampleReport({ deviceId: "pos-1", deviceGroup: "pos", seq, state: seq % 2n === 1n ? TargetState.WORKING : TargetState.APPLIED })],
      });
    }
    assert.match(out, /^\S+Z {2}pos-1 {2}pos {2}applied -> working$/m);
    assert.match((await watching).err, /^watching 1 device in 1 device_group; Ctrl-C ends it\n/);
  }).timeout(30_000);
});
