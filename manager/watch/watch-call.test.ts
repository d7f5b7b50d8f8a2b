import { strict as assert } from "node:assert";
import { channel } from "node:diagnostics_channel";
import { Metadata } from "@grpc/grpc-js";
import { eventually, eventuallyCollected } from "../../common/testing/eventually.ts";
import { startReporting } from "../testing/reporting-watch.ts";
import { startWatchRig, type WatchRig } from "../testing/watch-rig.ts";
import { WATCH_PATHS } from "./serve-watch.ts";
import { type RawStream, RawStreams } from "./watch-call.ts";

class NotingStreams extends RawStreams {
  readonly metadata: WeakRef<Metadata>[] = [];

  override take(metadata: Metadata): RawStream | undefined {
    this.metadata.push(new WeakRef(metadata));
    return super.take(metadata);
  }
}

class CountingStreams extends RawStreams {
  found = 0;

  override take(metadata: Metadata): RawStream | undefined {
    const stream = super.take(metadata);
    if (stream !== undefined) this.found++;
    return stream;
  }
}

async function changesArrive(rig: WatchRig): Promise<void> {
  await rig.putApp("web", "v1");
  await rig.putGroup("g", ["web"]);
  const watches = [rig.watch({ deviceId: "a" }), rig.watch({ deviceId: "b" })];
  await eventually(() => watches.every(({ last }) => last === "v1@1"));
  await rig.putApp("web", "v2");
  await eventually(() => watches.every(({ last }) => last === "v2@2"));
  await rig.hub.stop();
  for (const watch of watches) assert.equal(await watch.ended, undefined);
  assert.ok(watches.every(({ heard }) => heard.join() === "v1@1,v2@2,redirect"));
}

describe("raw streams", () => {
  it("raw streams are found below real calls", async () => {
    const rawStreams = new CountingStreams(WATCH_PATHS);
    await using rig = await startWatchRig({ rawStreams });
    await changesArrive(rig);
    assert.equal(rawStreams.found, 2);
  });

  it("configs are sent in the plain way where there are no raw streams", async () => {
    const rawStreams = new CountingStreams(WATCH_PATHS);
    rawStreams[Symbol.dispose]();
    await using rig = await startWatchRig({ rawStreams });
    await changesArrive(rig);
    assert.equal(rawStreams.found, 0);
  });

  it("a watch that is open keeps nothing of how its request was read, and is served on", async () => {
    const rawStreams = new NotingStreams(WATCH_PATHS);
    await using started = await startReporting({ rawStreams });
    const { rig } = started;
    const byStream = rig.watch({ deviceId: "a" });
    const withReports = await started.watch({ deviceId: "b" });
    await eventually(() => byStream.answers.length === 1);
    assert.equal(rawStreams.metadata.length, 2);
    await eventuallyCollected(rawStreams.metadata);
    await rig.putApp("web", "v1");
    await rig.putGroup("g", ["web"]);
    await eventually(() => byStream.last === "v1@1" && withReports.heard.length === 2);
    await rig.hub.stop();
    assert.equal(await byStream.ended, undefined);
    await eventually(() => withReports.status === 0);
  });

  it("X1: only the newest raw streams wait for their calls, each for one", () => {
    using rawStreams = new CountingStreams(["/a/Path"]);
    const starts = channel("http2.server.stream.start");
    const calls = Array.from({ length: 1000 }, (_, index): { stream: RawStream; headers: Record<string, unknown> } => {
      const stream = { write: () => true, destroyed: false, closed: index % 2 === 0 };
      const headers = { ":path": "/a/Path" };
      starts.publish({ stream, headers });
      return { stream, headers };
    });
    starts.publish({ stream: { write() {} }, headers: { ":path": "/another/Path" } });
    starts.publish("nothing of the kind");
    const found = calls.filter(({ stream, headers }) => {
      const metadata = new Metadata();
      for (const [name, value] of Object.entries(headers)) if (!name.startsWith(":")) metadata.set(name, String(value));
      const taken = rawStreams.take(metadata);
      assert.ok(taken === undefined || taken === stream, "never another call's");
      assert.equal(rawStreams.take(metadata), undefined, "once");
      return taken !== undefined;
    });
    assert.deepEqual(found, calls.slice(-256));
    assert.equal(rawStreams.take(new Metadata()), undefined);
  });
});
