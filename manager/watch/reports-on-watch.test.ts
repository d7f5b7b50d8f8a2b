import { strict as assert } from "node:assert";
import { newToken } from "../../common/access/tokens.ts";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { codeOf } from "../../common/errors/codes.ts";
import { isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { type Report, ReportService } from "../../gen/nebula/v1/report_pb.ts";
import { framed, RawClient } from "../testing/raw-client.ts";
import { ReportingWatch, report, reportsRequest, startReporting, watchRequest } from "../testing/reporting-watch.ts";
import { bearer, putTestDevice, putTestUser } from "../testing/test-access.ts";
import type { RigOptions, WatchRig } from "../testing/watch-rig.ts";

const OK = 0;
const INVALID_ARGUMENT = 3;
const PERMISSION_DENIED = 7;
const RESOURCE_EXHAUSTED = 8;
const UNAVAILABLE = 14;

type Outcome = Readonly<{ code: number; message: string; retryAfterMs: number }>;

/** The outcomes of submissions that follow each other, by WatchAndReport and by SubmitReports, each on a rig of its own. */
async function outcomes(
  submissions: readonly (readonly Report[])[],
  { prepare, ...options }: RigOptions & { prepare?: (rig: WatchRig) => Promise<Readonly<Record<string, string>>> } = {},
) {
  const onWatch: Outcome[] = [];
  const byCall: Outcome[] = [];
  const [watched, called] = [await startReporting(options), await startReporting(options)];
  await using _watched = watched;
  await using _called = called;
  const watch = await watched.watch({}, await prepare?.(watched.rig));
  for (const [index, reports] of submissions.entries()) {
    watch.report(...reports);
    await eventually(() => watch.reported.length === index + 1, { everyMs: 1 });
    const { code = -1, message = "", retryAfterMs = 0 } = watch.reported[index] ?? {};
    onWatch.push({ code, message, retryAfterMs });
  }
  const headers = (await prepare?.(called.rig)) ?? {};
  const channel = called.rig.channel();
  for (const reports of submissions) {
    const outcome = await channel.unary(ReportService.method.submitReports, { reports: [...reports] }, { headers }).then(
      () => ({ code: OK, message: "", retryAfterMs: 0 }),
      (error) => {
        if (!isNebulaError(error)) throw error;
        return { code: codeOf(error.kind), message: error.message, retryAfterMs: Math.ceil(error.retryAfterMs ?? 0) };
      },
    );
    byCall.push(outcome);
  }
  const published = [watched.rig, called.rig].map(({ published: { reports } }) => reports.map(({ deviceId, seq }) => `${deviceId} ${seq}`));
  const audited = [watched.rig, called.rig].map((rig) =>
    rig.audited.map(({ method, who, outcome, kind, name, detail }) => [method, who, outcome, kind, name, detail]),
  );
  return { onWatch, byCall, published, audited };
}
describe("reports on a watch", () => {
  describe("R1: outcomes are those of SubmitReports", () => {
    it("reports that are taken are on the bus in their order, and their answer is empty", async () => {
      const { onWatch, byCall, published } = await outcomes([[report(1)], [report(2), report(3)]]);
      assert.deepEqual(onWatch, [
        { code: OK, message: "", retryAfterMs: 0 },
        { code: OK, message: "", retryAfterMs: 0 },
      ]);
      assert.deepEqual(byCall, onWatch);
      assert.deepEqual(published, [
        ["device-1 1", "device-1 2", "device-1 3"],
        ["device-1 1", "device-1 2", "device-1 3"],
      ]);
    });

    it("invalid fields, no reports, and reports of two devices are refused by name", async () => {
      const two = [report(1), report(2, { deviceId: "device-2" })];
      const { onWatch, byCall, published } = await outcomes([[report(0, { boot: "" })], [], two, [report(4)]]);
      assert.deepEqual(
        onWatch.map(({ code }) => code),
        [INVALID_ARGUMENT, INVALID_ARGUMENT, INVALID_ARGUMENT, OK],
      );
      assert.match(onWatch[0]?.message ?? "", /boot/);
      assert.deepEqual(byCall, onWatch);
      assert.deepEqual(published, [["device-1 4"], ["device-1 4"]]);
    });

    it("a device reports for itself and its own group alone", async () => {
      const prepare = async (rig: WatchRig) => bearer(await putTestDevice(rig.accessStore, "device-1", "g"));
      const foreign = [[report(1, { deviceId: "device-2" })], [report(2, { deviceGroup: "h" })], [report(3)]];
      const { onWatch, byCall, published } = await outcomes(foreign, { auth: true, prepare });
      assert.deepEqual(
        onWatch.map(({ code }) => code),
        [PERMISSION_DENIED, PERMISSION_DENIED, OK],
      );
      assert.deepEqual(byCall, onWatch);
      assert.deepEqual(published, [["device-1 3"], ["device-1 3"]]);
    });

    it("a user reports for groups that it may read, and its refused try at a device with a token is in the audit log", async () => {
      const prepare = async (rig: WatchRig) => {
        await putTestDevice(rig.accessStore, "till-1", "bank");
        const token = newToken();
        await putTestUser(rig.accessStore, "ann", { token, deviceGroups: { g: "ro" } });
        return bearer(token);
      };
      const tries = [[report(1, { deviceGroup: "bank" })], [report(2, { deviceId: "till-1" })], [report(3)]];
      const { onWatch, byCall, published, audited } = await outcomes(tries, { auth: true, prepare });
      assert.deepEqual(
        onWatch.map(({ code }) => code),
        [PERMISSION_DENIED, PERMISSION_DENIED, OK],
      );
      assert.deepEqual(byCall, onWatch);
      assert.deepEqual(published, [["device-1 3"], ["device-1 3"]]);
      assert.deepEqual(
        audited[0]?.map(([method, who, outcome, kind, name]) => [method, who, outcome, kind, name]),
        [["/nebula.v1.ReportService/SubmitReports", "ann", "PERMISSION_DENIED", "device", "till-1"]],
      );
      assert.deepEqual(audited[0], audited[1]);
    });

    it("too many reports are refused, with the time to come back", async () => {
      const many = Array.from({ length: 22 }, (_, index) => [report(index + 1)]);
      const { onWatch, byCall, published } = await outcomes(many, { clock: new ManualClock(Date.now()) });
      const last = onWatch.at(-1);
      assert.equal(last?.code, RESOURCE_EXHAUSTED);
      assert.ok(last.retryAfterMs > 0);
      assert.deepEqual(byCall, onWatch);
      assert.equal(published[0]?.length, published[1]?.length);
    });

    it("a bus that takes nothing is unavailable, with the time to come back", async () => {
      const publish = async () => {
        throw new NebulaError("unavailable", "the report bus is full", { retryAfterMs: 1234 });
      };
      const { onWatch, byCall } = await outcomes([[report(1)]], { publish });
      assert.deepEqual(onWatch, [{ code: UNAVAILABLE, message: "the report bus is full", retryAfterMs: 1234 }]);
      assert.deepEqual(byCall, onWatch);
    });

    it("an unforeseen error tells nothing of its cause", async () => {
      const publish = async () => {
        throw new Error("secret detail");
      };
      const { onWatch, byCall } = await outcomes([[report(1)]], { publish });
      assert.match(onWatch[0]?.message ?? "", /^internal error; the manager's log has its cause under the id \S+$/);
      assert.equal(byCall[0]?.code, onWatch[0]?.code);
    });

    it("reports count as SubmitReports in the metrics, and the watch as WatchAndReport", async () => {
      await using rig = await startReporting();
      const watch = await rig.watch();
      watch.report(report(1));
      watch.report(report(0));
      await eventually(() => watch.reported.length === 2);
      const counted = await rig.rig.registry.getSingleMetric("nebula_rpc_calls_total")?.get();
      assert.deepEqual(counted?.values.map(({ labels: { method, code }, value }) => `${method} ${code} ${value}`).sort(), [
        "/nebula.v1.ConfigService/WatchAndReport 0 1",
        "/nebula.v1.ReportService/SubmitReports 0 1",
        "/nebula.v1.ReportService/SubmitReports 3 1",
      ]);
    });
  });

  describe("the order of requests and answers", () => {
    it("of many reports that are sent at once one is under way at a time, and each is answered, in their order", async () => {
      await using rig = await startReporting();
      const watch = await rig.watch();
      const seqs = Array.from({ length: 19 }, (_, index) => (index % 3 === 2 ? 0 : index + 1));
      watch.send(...seqs.map((seq) => reportsRequest([report(seq)])));
      await eventually(() => watch.reported.length === seqs.length);
      assert.deepEqual(
        watch.reported.map(({ code }) => code),
        seqs.map((seq) => (seq === 0 ? INVALID_ARGUMENT : OK)),
      );
      const taken = rig.rig.published.reports.map(({ seq }) => Number(seq));
      assert.deepEqual(
        taken,
        seqs.filter((seq) => seq > 0),
      );
      assert.equal(rig.rig.published.mostAtOnce, 1);
    });

    it("a report that is sent with the first request is taken when the watch is open", async () => {
      await using rig = await startReporting();
      const watch = new ReportingWatch(rig.client).send(watchRequest(), reportsRequest([report(1)]));
      await eventually(() => watch.reported.length === 1 && watch.heard.length === 1);
      assert.deepEqual([watch.reported[0]?.code, rig.rig.published.reports.length], [OK, 1]);
    });

    it("requests that come in pieces are read as those that come whole", async () => {
      await using rig = await startReporting();
      const watch = new ReportingWatch(rig.client);
      for (const byte of framed(watchRequest())) watch.write(Uint8Array.of(byte));
      await eventually(() => watch.heard.length === 1);
      for (const byte of framed(reportsRequest([report(1)]))) watch.write(Uint8Array.of(byte));
      await eventually(() => watch.reported.length === 1);
      assert.deepEqual([watch.reported[0]?.code, rig.rig.reports.partials.held], [OK, 0]);
    });

    it("a second watch on the stream is refused, an empty request too, and the first watch goes on", async () => {
      await using rig = await startReporting();
      const watch = await rig.watch();
      watch.send(watchRequest({ deviceGroup: "other" }), new Uint8Array(), Uint8Array.of(0xff), reportsRequest([report(1)]));
      await eventually(() => watch.reported.length === 4);
      assert.deepEqual(
        watch.reported.map(({ code }) => code),
        [INVALID_ARGUMENT, INVALID_ARGUMENT, INVALID_ARGUMENT, OK],
      );
      assert.match(watch.reported[0]?.message ?? "", /open another one/);
      await rig.rig.putApp("web", "nginx:1");
      await rig.rig.putGroup("g", ["web"]);
      await eventually(() => watch.heard.length === 2);
      assert.deepEqual([rig.rig.hub.streams, watch.status], [1, undefined]);
    });

    it("reports that come twice in one request are merged, as protobuf has it", async () => {
      await using rig = await startReporting();
      const watch = await rig.watch();
      watch.send(Buffer.concat([reportsRequest([report(1)]), reportsRequest([report(2)])]));
      await eventually(() => watch.reported.length === 1);
      assert.deepEqual([watch.reported[0]?.code, rig.rig.published.reports.map(({ seq }) => seq)], [OK, [1n, 2n]]);
    });

    it("a request that is compressed or too large is answered by_call, and the next one is taken", async () => {
      await using rig = await startReporting();
      const watch = await rig.watch();
      const compressed = framed(reportsRequest([report(1)]));
      compressed[0] = 1;
      watch.write(compressed);
      watch.send(Buffer.alloc(70_000));
      watch.report(report(2));
      await eventually(() => watch.reported.length === 3);
      assert.deepEqual(
        watch.reported.map(({ byCall, code }) => [byCall, code]),
        [
          [true, 0],
          [true, 0],
          [false, OK],
        ],
      );
      assert.deepEqual(
        rig.rig.published.reports.map(({ seq }) => seq),
        [2n],
      );
    });
  });

  it("R4: a device that does not read its answers costs one of them, and none of its later reports is read", async () => {
    await using rig = await startReporting();
    await rig.rig.putApp("web", `v0-${"x".repeat(200_000)}`);
    await rig.rig.putGroup("g", ["web"]);
    const watch = new ReportingWatch(rig.client);
    watch.stream.pause(); // its window is full of the config
    watch.send(watchRequest());
    await eventually(async () => (await rig.rig.metric("nebula_pushes_total")) === 1);
    watch.send(...Array.from({ length: 10 }, (_, index) => reportsRequest([report(index + 1)])));
    await eventually(() => rig.rig.published.reports.length === 1);
    await using client = new RawClient(rig.rig.port);
    const other = new ReportingWatch(client).send(watchRequest({ deviceId: "device-2" }));
    for (let seq = 1; seq <= 10; seq++) {
      other.report(report(seq, { deviceId: "device-2" }));
      await eventually(() => other.reported.length === seq, { everyMs: 1 });
    }
    assert.equal(rig.rig.published.reports.filter(({ deviceId }) => deviceId === "device-1").length, 1);
    watch.stream.resume();
    await eventually(() => watch.reported.length === 10);
    assert.equal(rig.rig.published.reports.length, 20);
  });
});
