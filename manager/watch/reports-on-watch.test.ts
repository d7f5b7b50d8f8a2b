import { strict as assert } from "node:assert";
import { EventEmitter } from "node:events";
import { newToken, tokenHash } from "../../common/access/tokens.ts";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { codeOf } from "../../common/errors/codes.ts";
import { isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import { createMemoryMembership } from "../../common/membership/memory-membership.ts";
import type { AccessStore } from "../../common/storage/access-store.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { sampleReport } from "../../common/testing/sample-report.ts";
import { type Report, ReportService } from "../../gen/nebula/v1/report_pb.ts";
import { newSessionToken, sessionKey } from "../access/sessions.ts";
import { framed, RawClient } from "../testing/raw-client.ts";
import { ReportingWatch, reportsRequest, watchRequest } from "../testing/reporting-watch.ts";
import { bearer, putTestDevice, putTestUser } from "../testing/test-access.ts";
import { type RigOptions, startWatchRig, type WatchRequest, type WatchRig } from "../testing/watch-rig.ts";
import { WATCH_PATHS } from "./serve-watch.ts";
import { RawStreams } from "./watch-call.ts";

const OK = 0;
const INVALID_ARGUMENT = 3;
const PERMISSION_DENIED = 7;
const RESOURCE_EXHAUSTED = 8;
const UNAVAILABLE = 14;
const UNAUTHENTICATED = 16;

/** A rig whose group `g` is empty, and a client of it. */
async function start(options: RigOptions = {}) {
  await using stack = new AsyncDisposableStack();
  const rig = stack.use(await startWatchRig(options));
  await rig.putGroup("g", []);
  const client = stack.use(new RawClient(rig.port));
  const opened = stack.move();
  return {
    rig,
    client,
    /** A watch that was answered. */
    async watch(request: WatchRequest = {}, headers: Readonly<Record<string, string>> = {}): Promise<ReportingWatch> {
      const watch = new ReportingWatch(client, headers).send(watchRequest(request));
      await eventually(() => watch.heard.length === 1, { everyMs: 1 });
      return watch;
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

function report(seq: number, fields: Parameters<typeof sampleReport>[0] = {}): Report {
  return sampleReport({ deviceGroup: "g", seq: BigInt(seq), ...fields });
}

type Outcome = Readonly<{ code: number; message: string; retryAfterMs: number }>;

/** The outcomes of submissions that follow each other, by WatchAndReport and by SubmitReports, each on a rig of its own. */
async function outcomes(
  submissions: readonly (readonly Report[])[],
  { prepare, ...options }: RigOptions & { prepare?: (rig: WatchRig) => Promise<Readonly<Record<string, string>>> } = {},
) {
  const onWatch: Outcome[] = [];
  const byCall: Outcome[] = [];
  const [watched, called] = [await start(options), await start(options)];
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
      await using rig = await start();
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
      await using rig = await start();
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
      await using rig = await start();
      const watch = new ReportingWatch(rig.client).send(watchRequest(), reportsRequest([report(1)]));
      await eventually(() => watch.reported.length === 1 && watch.heard.length === 1);
      assert.deepEqual([watch.reported[0]?.code, rig.rig.published.reports.length], [OK, 1]);
    });

    it("requests that come in pieces are read as those that come whole", async () => {
      await using rig = await start();
      const watch = new ReportingWatch(rig.client);
      for (const byte of framed(watchRequest())) watch.write(Uint8Array.of(byte));
      await eventually(() => watch.heard.length === 1);
      for (const byte of framed(reportsRequest([report(1)]))) watch.write(Uint8Array.of(byte));
      await eventually(() => watch.reported.length === 1);
      assert.deepEqual([watch.reported[0]?.code, rig.rig.reports.partials.held], [OK, 0]);
    });

    it("a second watch on the stream is refused, an empty request too, and the first watch goes on", async () => {
      await using rig = await start();
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
      await using rig = await start();
      const watch = await rig.watch();
      watch.send(Buffer.concat([reportsRequest([report(1)]), reportsRequest([report(2)])]));
      await eventually(() => watch.reported.length === 1);
      assert.deepEqual([watch.reported[0]?.code, rig.rig.published.reports.map(({ seq }) => seq)], [OK, [1n, 2n]]);
    });

    it("a request that is compressed or too large is answered by_call, and the next one is taken", async () => {
      await using rig = await start();
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

  describe("the first request", () => {
    /** Sends something in place of a first request, and returns how the call ends. */
    async function refused(rig: Awaited<ReturnType<typeof start>>, send: (watch: ReportingWatch) => void): Promise<ReportingWatch> {
      const watch = new ReportingWatch(rig.client);
      send(watch);
      await watch.closed;
      return watch;
    }

    it("a stream whose first request is not a watch is refused by name, and nothing of it is taken", async () => {
      await using rig = await start();
      const compressed = framed(watchRequest());
      compressed[0] = 1;
      const cases: readonly [(watch: ReportingWatch) => void, RegExp][] = [
        [(watch) => watch.report(report(1)), /must be "watch"/],
        [(watch) => watch.send(new Uint8Array()), /must be "watch"/],
        [(watch) => watch.send(Uint8Array.of(0xff)), /not a valid nebula.v1.WatchAndReportRequest/],
        [(watch) => watch.write(compressed), /compressed/],
        [(watch) => watch.send(Buffer.alloc(70_000)), /larger than 65536 bytes/],
        [(watch) => watch.stream.end(), /there is none/],
        [(watch) => watch.stream.end(framed(watchRequest()).subarray(0, 9)), /there is none/],
        [(watch) => watch.send(watchRequest({ deviceGroup: "no/name" }), reportsRequest([report(1)])), /device_group/],
      ];
      for (const [send, message] of cases) {
        const watch = await refused(rig, send);
        assert.equal(watch.status, INVALID_ARGUMENT, String(message));
        assert.match(watch.message, message);
      }
      assert.deepEqual([rig.rig.hub.streams, rig.rig.published.reports.length, rig.rig.reports.partials.held], [0, 0, 0]);
    });

    it("a watch is let in as one of WatchConfig is: without a login, of another group, or as another device it is refused", async () => {
      await using rig = await start({ auth: true });
      const token = await putTestDevice(rig.rig.accessStore, "device-1", "g");
      const cases: readonly [Readonly<Record<string, string>>, WatchRequest, number][] = [
        [{}, {}, UNAUTHENTICATED],
        [bearer(newToken()), {}, UNAUTHENTICATED],
        [bearer(token), { deviceGroup: "h" }, PERMISSION_DENIED],
        [bearer(token), { deviceId: "device-2" }, PERMISSION_DENIED],
      ];
      for (const [headers, request, code] of cases) {
        const watch = new ReportingWatch(rig.client, headers).send(watchRequest(request), reportsRequest([report(1)]));
        await watch.closed;
        assert.deepEqual([watch.status, watch.answers], [code, []]);
      }
      assert.deepEqual([rig.rig.hub.streams, rig.rig.published.reports], [0, []]);
      await eventually(() => rig.rig.audited.length > 0); // equal ones are counted together
      const [{ method, who, kind, outcome } = assert.fail()] = rig.rig.audited;
      assert.deepEqual([method, who, kind, outcome], ["/nebula.v1.ConfigService/WatchAndReport", "nobody", "device", "UNAUTHENTICATED"]);
    });
  });

  describe("the end of a watch", () => {
    it("a device that has ended its requests is sent configs on", async () => {
      await using rig = await start();
      const watch = await rig.watch();
      watch.stream.end(framed(reportsRequest([report(1)])));
      await eventually(() => watch.reported.length === 1);
      await rig.rig.putApp("web", "nginx:1");
      await rig.rig.putGroup("g", ["web"]);
      await eventually(() => watch.heard.length === 2);
      assert.equal(rig.rig.hub.streams, 1);
    });

    it("a device that ends its requests within one leaves nothing of it behind", async () => {
      await using rig = await start();
      const watch = await rig.watch();
      watch.write(framed(reportsRequest([report(1)])).subarray(0, 40));
      await eventually(() => rig.rig.reports.partials.held > 0);
      watch.stream.end();
      await eventually(() => rig.rig.reports.partials.held === 0);
      assert.equal(rig.rig.hub.streams, 1);
    });

    it("a device that disconnects within a request leaves nothing of it behind", async () => {
      await using rig = await start();
      const watch = await rig.watch();
      watch.write(framed(reportsRequest([report(1)])).subarray(0, 40));
      await eventually(() => rig.rig.reports.partials.held > 0);
      watch.stream.close(8);
      await eventually(() => rig.rig.reports.partials.held === 0 && rig.rig.hub.streams === 0);
    });

    it("a report that is under way when its device disconnects ends without an answer, and the manager serves on", async () => {
      const begun = Promise.withResolvers<void>();
      const goOn = Promise.withResolvers<void>();
      await using rig = await start({
        publish: async () => {
          begun.resolve();
          await goOn.promise;
        },
      });
      const watch = await rig.watch();
      watch.report(report(1));
      await begun.promise;
      watch.stream.close(8);
      await eventually(() => rig.rig.hub.streams === 0);
      goOn.resolve();
      await eventually(() => rig.rig.published.atOnce === 0);
      const next = await rig.watch({ deviceId: "device-2" });
      next.report(report(1, { deviceId: "device-2" }));
      await eventually(() => next.reported.length === 1);
    });

    it("C1: a watch that is replaced while a report is under way ends with its status alone, and its stream is closed", async () => {
      const begun = Promise.withResolvers<void>();
      const goOn = Promise.withResolvers<void>();
      await using rig = await start({
        publish: async () => {
          begun.resolve();
          await goOn.promise;
        },
      });
      const first = await rig.watch();
      first.send(reportsRequest([report(1)]), reportsRequest([report(2)]));
      await begun.promise;
      const second = await rig.watch();
      await first.closed;
      assert.equal(first.status, codeOf("conflict"));
      goOn.resolve();
      await eventually(() => rig.rig.published.atOnce === 0);
      second.report(report(3));
      await eventually(() => second.reported.length === 1);
      assert.deepEqual(first.reported, []);
      assert.deepEqual(
        rig.rig.published.reports.map(({ seq }) => seq),
        [1n, 3n],
      );
    });

    it("X3: a stream that has ended is closed, though its device sends on, and more than fits the windows", async () => {
      await using rig = await start();
      const first = await rig.watch();
      for (let index = 0; index < 10; index++) first.write(Buffer.alloc(60_000));
      await rig.watch();
      await first.closed;
      assert.equal(first.status, codeOf("conflict"));
      for (let index = 0; index < 5; index++) {
        const refused = new ReportingWatch(rig.client);
        refused.send(new Uint8Array());
        for (let piece = 0; piece < 3; piece++) refused.write(Buffer.alloc(60_000));
        await refused.closed;
        assert.equal(refused.status, INVALID_ARGUMENT);
      }
      const last = await rig.watch({ deviceId: "last" }); // the connection's window is open
      last.report(report(1, { deviceId: "last" }));
      await eventually(() => last.reported.length === 1);
    });

    it("a watch that another shard serves is redirected, also with a report behind it", async () => {
      const membership = createMemoryMembership();
      await using rig = await start({ membership });
      const watch = await rig.watch();
      await rig.rig.hub.stop();
      await watch.closed;
      assert.deepEqual([watch.status, watch.heard.at(-1)], [OK, "redirect"]);
      const late = new ReportingWatch(rig.client).send(watchRequest(), reportsRequest([report(1)]));
      await late.closed;
      assert.deepEqual([late.status, late.heard], [OK, ["redirect"]]);
    });

    it("C1: nothing is written to a call that grpc-js has ended at its deadline, also while its device does not read", async () => {
      await using rig = await start();
      await rig.rig.putApp("web", `v0-${"x".repeat(200_000)}`);
      await rig.rig.putGroup("g", ["web"]);
      const watch = new ReportingWatch(rig.client, { "grpc-timeout": "300m" });
      watch.stream.pause();
      const over = performance.now() + 600;
      watch.send(watchRequest());
      await eventually(async () => (await rig.rig.metric("nebula_pushes_total")) === 1);
      await eventually(() => performance.now() > over);
      watch.report(report(1));
      await eventually(() => rig.rig.published.reports.length === 1 && rig.rig.published.atOnce === 0);
      watch.stream.resume();
      await watch.closed;
      assert.deepEqual([watch.status, watch.heard, watch.reported], [4, ["config"], []]);
    });
  });

  it("R4: a device that does not read its answers costs one of them, and none of its later reports is read", async () => {
    await using rig = await start();
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

  describe("R2: the credential of a watch", () => {
    /** A store whose reads are counted, wait, or fail. */
    function unkindStore() {
      const unkind = { isDown: false, reads: [] as string[], waitFor: Promise.resolve() };
      const wrapAccessStore = (store: AccessStore): AccessStore =>
        new Proxy(store, {
          get(target, name) {
            const value = Reflect.get(target, name);
            if (typeof value !== "function" || name === "stamp") return value;
            return async (...args: unknown[]) => {
              unkind.reads.push(String(name));
              await unkind.waitFor;
              if (unkind.isDown) throw new NebulaError("unavailable", "down");
              return Reflect.apply(value, target, args);
            };
          },
        });
      return { unkind, wrapAccessStore };
    }

    it("a report after its credential was revoked is never taken: it is refused, or the watch has ended", async () => {
      await using rig = await start({ auth: true });
      for (let round = 1; round <= 10; round++) {
        const deviceId = `device-${round}`;
        const watch = await rig.watch({ deviceId }, bearer(await putTestDevice(rig.rig.accessStore, deviceId, "g")));
        await rig.rig.accessStore.revokeDeviceToken(deviceId);
        await rig.rig.accessChanged(`device/${deviceId}`);
        watch.report(report(1, { deviceId }));
        await watch.closed;
        assert.equal(watch.status, UNAUTHENTICATED);
        assert.ok(watch.reported.every(({ code }) => code === UNAUTHENTICATED));
      }
      assert.deepEqual(rig.rig.published.reports, []);
    });

    it("a report is refused, and sent again later, while a credential that the feed named cannot be read", async () => {
      const { unkind, wrapAccessStore } = unkindStore();
      await using rig = await start({ auth: true, wrapAccessStore });
      const watch = await rig.watch({}, bearer(await putTestDevice(rig.rig.accessStore, "device-1", "g")));
      unkind.isDown = true;
      await rig.rig.accessStore.revokeDeviceToken("device-1");
      await rig.rig.accessChanged("device/device-1");
      watch.report(report(1));
      await eventually(() => watch.reported.length === 1);
      assert.equal(watch.reported[0]?.code, UNAVAILABLE);
      assert.ok((watch.reported[0]?.retryAfterMs ?? 0) > 0);
      assert.equal(watch.status, undefined);
      unkind.isDown = false;
      watch.report(report(2));
      await watch.closed;
      assert.deepEqual([watch.status, rig.rig.published.reports], [UNAUTHENTICATED, []]);
    });

    it("a report is taken while the store is away, and the credential was not named", async () => {
      const { unkind, wrapAccessStore } = unkindStore();
      await using rig = await start({ auth: true, wrapAccessStore });
      const watch = await rig.watch({}, bearer(await putTestDevice(rig.rig.accessStore, "device-1", "g")));
      await putTestUser(rig.rig.accessStore, "ann", {}); // a change that the feed loses
      unkind.isDown = true;
      unkind.reads.length = 0;
      rig.rig.breakFeed();
      await eventually(() => unkind.reads.length > 0);
      watch.report(report(1));
      await eventually(() => watch.reported.length === 1);
      assert.deepEqual([watch.reported[0]?.code, rig.rig.published.reports.length], [OK, 1]);
    });

    it("a credential is read once for all reports that wait for it, however many watches it opened", async () => {
      const { unkind, wrapAccessStore } = unkindStore();
      await using rig = await start({ auth: true, wrapAccessStore });
      const token = newToken();
      await putTestUser(rig.rig.accessStore, "ann", { token, deviceGroups: { g: "ro" } });
      const watches = await Promise.all(Array.from({ length: 30 }, (_, index) => rig.watch({ deviceId: `d${index}` }, bearer(token))));
      const goOn = Promise.withResolvers<void>();
      unkind.waitFor = goOn.promise;
      unkind.reads.length = 0;
      await putTestUser(rig.rig.accessStore, "ann", { token, deviceGroups: { g: "ro" } });
      await rig.rig.accessChanged("user/ann");
      for (const [index, watch] of watches.entries()) watch.report(report(1, { deviceId: `d${index}` }));
      await new Promise<void>((resolve) => void rig.client.session.ping(() => resolve())); // they have come
      goOn.resolve();
      await eventually(() => watches.every(({ reported }) => reported.length === 1));
      assert.ok(watches.every(({ reported }) => reported[0]?.code === OK));
      // Once for the reports, and once for the look at the watches that the change had begun.
      assert.ok(unkind.reads.filter((name) => name === "getUser").length <= 2, unkind.reads.join(" "));
    });

    it("a report after the end of its session is refused, though nothing has named it, and its watch ends", async () => {
      const clock = new ManualClock(Date.now());
      await using rig = await start({ auth: true, clock, cacheTimeMs: 3_600_000 });
      const token = newToken();
      await putTestUser(rig.rig.accessStore, "ann", { token, deviceGroups: { g: "ro" } });
      const session = newSessionToken();
      const times = { createdAt: clock.now(), expiresAt: clock.now() + 60_000 };
      const made = { user: "ann", boundTo: `user_token ${tokenHash(token)}`, madeFrom: "", ...times, ...sessionKey(session) };
      await rig.rig.accessStore.createSession(made, 20);
      const watch = await rig.watch({}, bearer(session));
      watch.report(report(1));
      await eventually(() => watch.reported.length === 1);
      await clock.advance(60_000);
      watch.report(report(2));
      await watch.closed;
      assert.deepEqual([watch.status, rig.rig.published.reports.map(({ seq }) => seq)], [UNAUTHENTICATED, [1n]]);
    });

    it("a report counts by the rights of its user as they are now", async () => {
      await using rig = await start({ auth: true });
      const token = newToken();
      await putTestUser(rig.rig.accessStore, "ann", { token, deviceGroups: { g: "ro", h: "ro" } });
      const watch = await rig.watch({}, bearer(token));
      await putTestUser(rig.rig.accessStore, "ann", { token, deviceGroups: { g: "ro" } });
      await rig.rig.accessChanged("user_group/ann");
      watch.report(report(1, { deviceGroup: "h" }));
      watch.report(report(2));
      await eventually(() => watch.reported.length === 2);
      assert.deepEqual(
        watch.reported.map(({ code }) => code),
        [PERMISSION_DENIED, OK],
      );
    });
  });

  describe("X2: the reading of a stream", () => {
    /** Keeps the streams that calls took. */
    class KeptStreams extends RawStreams {
      readonly taken: object[] = [];
      override take(...args: Parameters<RawStreams["take"]>): ReturnType<RawStreams["take"]> {
        const stream = super.take(...args);
        if (stream !== undefined) this.taken.push(stream);
        return stream;
      }
    }

    it("grpc-js hands over the reading of a stream, and keeps no listener of its data", async () => {
      const rawStreams = new KeptStreams(WATCH_PATHS);
      await using rig = await start({ rawStreams });
      const watch = await rig.watch();
      watch.report(report(1));
      await eventually(() => watch.reported.length === 1);
      const [stream = assert.fail()] = rawStreams.taken;
      assert.ok(stream instanceof EventEmitter);
      assert.equal(stream.listenerCount("data"), 1);
      assert.doesNotMatch(String(stream.listeners("data")[0]), /handleDataFrame/);
    });

    it("a stream that is not found below its call is watched, and its reports are answered by_call", async () => {
      const rawStreams = new RawStreams(WATCH_PATHS);
      rawStreams[Symbol.dispose]();
      await using rig = await start({ rawStreams });
      const watch = await rig.watch();
      watch.send(reportsRequest([report(1)]), watchRequest());
      await eventually(() => watch.reported.length === 2);
      assert.ok(watch.reported.every(({ byCall, code }) => byCall && code === 0));
      watch.stream.end();
      await rig.rig.putApp("web", "nginx:1");
      await rig.rig.putGroup("g", ["web"]);
      await eventually(() => watch.heard.length === 2);
      assert.deepEqual(rig.rig.published.reports, []);
    });

    it("a stream that is not found below its call is refused as any other where its first request is not a watch", async () => {
      const rawStreams = new RawStreams(WATCH_PATHS);
      rawStreams[Symbol.dispose]();
      await using rig = await start({ rawStreams });
      for (const send of [(watch: ReportingWatch) => watch.report(report(1)), (watch: ReportingWatch) => void watch.stream.end()]) {
        const watch = new ReportingWatch(rig.client);
        send(watch);
        await eventually(() => watch.status === INVALID_ARGUMENT);
        watch.stream.close(8);
      }
      assert.equal(rig.rig.hub.streams, 0);
    });
  });
});
