import { strict as assert } from "node:assert";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { credentials } from "@grpc/grpc-js";
import { GrpcChannel } from "../../../../common/rpc/grpc-channel.ts";
import { eventually } from "../../../../common/testing/eventually.ts";
import { sampleReport } from "../../../../common/testing/sample-report.ts";
import { ConfigService } from "../../../../gen/nebula/v1/config_pb.ts";
import { type AppStatusSchema, FailureCode, ReportService, TargetState } from "../../../../gen/nebula/v1/report_pb.ts";
import { asAdmin } from "../../testing/as-admin.ts";
import { ADMIN, startTestServer, type TestServer } from "../../testing/test-server.ts";

const HEADERS = { authorization: `Bearer ${ADMIN.token}` };

describe("nebulactl --wait with devices", function () {
  this.timeout(120_000);
  let server: TestServer;
  let channel: GrpcChannel;
  const leaving = new AbortController();
  before(async () => {
    server = await startTestServer();
    channel = new GrpcChannel(server.grpc.replace("grpc://", ""), credentials.createInsecure());
  });
  after(async () => {
    leaving.abort();
    channel?.[Symbol.dispose]();
    await server?.[Symbol.asyncDispose]();
  });
  const { run, printed } = asAdmin(() => server);

  /** A device with an open watch, which reports what a test says. */
  async function device(deviceId: string) {
    const leave = new AbortController();
    const signal = AbortSignal.any([leave.signal, leaving.signal]);
    const watching = { deviceGroup: "pos", deviceId, boot: "b", serveHere: true }; // of several shards, this one
    const watch = channel.serverStream(ConfigService.method.watchConfig, watching, { headers: HEADERS, signal });
    await watch.next();
    (async () => {
      for await (const _ of watch);
    })().catch(() => {}); // it ends with the test
    let seq = 0n;
    return {
      leave: () => leave.abort(),
      async report(app: MessageInitShape<typeof AppStatusSchema>) {
        seq++;
        const report = sampleReport({
          deviceId,
          deviceGroup: "pos",
          boot: "b",
          seq,
          apps: [{ name: "web", ...app }],
          createdAt: { seconds: 4_000_000_000n },
        });
        await channel.unary(ReportService.method.submitReports, { reports: [report] }, { headers: HEADERS });
      },
    };
  }

  const at = (revision: bigint) => ({ revision, appliedRevision: revision, state: TargetState.APPLIED });
  const failing = {
    revision: 2n,
    appliedRevision: 1n,
    state: TargetState.FAILED,
    failureCode: FailureCode.NO_SPACE,
    reason: "no space left on device",
  };

  it("--wait and status say what devices report: applied, failed, recovered and offline ones, with clocks that are decades off", async () => {
    await printed("apps create web --image shop:1");
    await printed("device-groups create pos --apps web");
    const [one, two, three] = [await device("d1"), await device("d2"), await device("d3")];
    for (const each of [one, two, three]) await each.report(at(1n));
    await eventually(async () => (await run("status web")).code === 0, { timeoutMs: 30_000 });
    const waiting = run("apps update web --image shop:2 --wait --settle 1s --timeout 60s");
    await eventually(async () => /revision +2/.test((await run("apps info web")).out), { timeoutMs: 30_000 });
    await one.report(at(2n));
    await two.report(failing);
    three.leave();
    const ended = await waiting;
    assert.equal(ended.code, 2, ended.out + ended.err);
    assert.match(ended.out, /^web 1 -> 2 {3}1\/3 applied {2}0 working {2}0 waiting {2}1 failed {2}1 offline/m);
    assert.match(ended.out, /^ {2}failed {2}d2 {2}no space left on device$/m);
    assert.match(ended.out, /^1 of 2 online devices run revision 2 or newer; 1 failed; 1 offline gets it when it comes back$/m);
    await two.report(at(2n));
    await eventually(async () => (await run("status web")).code === 0, { timeoutMs: 30_000 });
    assert.match((await run("status web")).out, /2\/3 applied .* 1 offline/);
    const json = JSON.parse((await run("status web -o json")).out);
    assert.deepEqual([json.counts.devices, json.counts.online, json.verdict], [3, 2, "applied"]);
  });
});
