import { strict as assert } from "node:assert";
import { EventEmitter, once } from "node:events";
import { newToken } from "../../common/access/tokens.ts";
import { codeOf } from "../../common/errors/codes.ts";
import { createMemoryMembership } from "../../common/membership/memory-membership.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { plainStore } from "../testing/plain-store.ts";
import { framed } from "../testing/raw-client.ts";
import { ReportingWatch, report, reportsRequest, startReporting, watchRequest } from "../testing/reporting-watch.ts";
import { bearer, putTestDevice } from "../testing/test-access.ts";
import type { WatchRequest } from "../testing/watch-rig.ts";
import { WATCH_PATHS } from "./serve-watch.ts";
import { RawStreams } from "./watch-call.ts";

const OK = 0;
const INVALID_ARGUMENT = 3;
const PERMISSION_DENIED = 7;
const UNAUTHENTICATED = 16;

describe("streams of watches that take reports", () => {
  describe("the first request", () => {
    /** Sends something in place of a first request, and returns how the call ends. */
    async function refused(rig: Awaited<ReturnType<typeof startReporting>>, send: (watch: ReportingWatch) => void): Promise<ReportingWatch> {
      const watch = new ReportingWatch(rig.client);
      send(watch);
      await watch.closed;
      return watch;
    }

    it("a stream whose first request is not a watch is refused by name, and nothing of it is taken", async () => {
      await using rig = await startReporting();
      const compressed = framed(watchRequest());
      compressed[0] = 1;
      const cases: readonly [(watch: ReportingWatch) => void, RegExp][] = [
        [(watch) => watch.report(report(1)), /must be "watch"/],
        [(watch) => watch.send(new Uint8Array()), /must be "watch"/],
        [(watch) => watch.send(Uint8Array.of(0xff)), /not a valid nebula.v1.WatchAndReportRequest/],
        [(watch) => watch.write(compressed), /compressed/],
        [(watch) => watch.send(Buffer.alloc(70_000)), /larger than 65536 bytes/],
        [(watch) => watch.stream.end(), /the stream ended before it/],
        [(watch) => watch.stream.end(framed(watchRequest()).subarray(0, 9)), /the stream ended before it/],
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
      await using rig = await startReporting({ auth: true });
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

  it("a device gets the headers of its answer before the config can be loaded: by them it knows that its watch arrived", async () => {
    const loadable = Promise.withResolvers<void>();
    await using rig = await startReporting({
      wrapStore: (store) => ({
        ...plainStore(store),
        async getMany(kind, names, options) {
          await loadable.promise;
          return store.getMany(kind, names, options);
        },
      }),
    });
    await rig.rig.putApp("web", "nginx:1");
    await rig.rig.putGroup("g", ["web"]);
    const watch = new ReportingWatch(rig.client).send(watchRequest());
    const [headers] = await once(watch.stream, "response");
    assert.deepEqual([headers[":status"], watch.answers.length], [200, 0]);
    loadable.resolve();
    await eventually(() => watch.heard.length === 1);
    assert.equal(watch.heard[0], "config");
  });

  describe("the end of a watch", () => {
    it("a device that has ended its requests is sent configs on", async () => {
      await using rig = await startReporting();
      const watch = await rig.watch();
      watch.stream.end(framed(reportsRequest([report(1)])));
      await eventually(() => watch.reported.length === 1);
      await rig.rig.putApp("web", "nginx:1");
      await rig.rig.putGroup("g", ["web"]);
      await eventually(() => watch.heard.length === 2);
      assert.equal(rig.rig.hub.streams, 1);
    });

    it("a device that ends its requests within one leaves nothing of it behind", async () => {
      await using rig = await startReporting();
      const watch = await rig.watch();
      watch.write(framed(reportsRequest([report(1)])).subarray(0, 40));
      await eventually(() => rig.rig.reports.partials.held > 0);
      watch.stream.end();
      await eventually(() => rig.rig.reports.partials.held === 0);
      assert.equal(rig.rig.hub.streams, 1);
    });

    it("a device that disconnects within a request leaves nothing of it behind", async () => {
      await using rig = await startReporting();
      const watch = await rig.watch();
      watch.write(framed(reportsRequest([report(1)])).subarray(0, 40));
      await eventually(() => rig.rig.reports.partials.held > 0);
      watch.stream.close(8);
      await eventually(() => rig.rig.reports.partials.held === 0 && rig.rig.hub.streams === 0);
    });

    it("a report that is under way when its device disconnects ends without an answer, and the manager serves on", async () => {
      const begun = Promise.withResolvers<void>();
      const goOn = Promise.withResolvers<void>();
      await using rig = await startReporting({
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
      await using rig = await startReporting({
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
      await using rig = await startReporting();
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
      await using rig = await startReporting({ membership });
      const watch = await rig.watch();
      await rig.rig.hub.stop();
      await watch.closed;
      assert.deepEqual([watch.status, watch.heard.at(-1)], [OK, "redirect"]);
      const late = new ReportingWatch(rig.client).send(watchRequest(), reportsRequest([report(1)]));
      await late.closed;
      assert.deepEqual([late.status, late.heard], [OK, ["redirect"]]);
    });

    it("C1: nothing is written to a call that grpc-js has ended at its deadline, also while its device does not read", async () => {
      await using rig = await startReporting();
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
      await using rig = await startReporting({ rawStreams });
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
      await using rig = await startReporting({ rawStreams });
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
      await using rig = await startReporting({ rawStreams });
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
