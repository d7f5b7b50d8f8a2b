import { strict as assert } from "node:assert";
import { once } from "node:events";
import { create, toBinary } from "@bufbuild/protobuf";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { FLOOD_MS, FLOOD_REPORTS, TurnTaking } from "../../common/clock/turn-taking.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { WatchConfigRequestSchema } from "../../gen/nebula/v1/config_pb.ts";
import { RawClient } from "../testing/raw-client.ts";
import { startWatchRig } from "../testing/watch-rig.ts";
import { WATCH_PATHS } from "./serve-watch.ts";

const [WATCH_PATH] = WATCH_PATHS;

function request(init: { deviceGroup?: string; deviceId?: string; keepaliveMs?: number }): Uint8Array {
  return toBinary(WatchConfigRequestSchema, create(WatchConfigRequestSchema, { deviceGroup: "g", boot: "b", ...init }));
}

describe("watch connections", () => {
  it("a device that stops reading costs one message in flight, delays nobody, and gets the newest when it reads again", async () => {
    await using rig = await startWatchRig();
    await using stuck = new RawClient(rig.port);
    await rig.putApp("web", "v0");
    await rig.putGroup("g", ["web"]);
    const stream = stuck.call(WATCH_PATH, request({ deviceId: "stuck" }));
    await once(stream, "response");
    const other = rig.watch({ deviceId: "other" });
    await eventually(() => other.last === "v0@1");
    const padding = "x".repeat(40_000);
    for (let version = 1; version <= 100; version++) {
      await rig.putApp("web", `v${version}-${padding}`);
      await eventually(() => other.answers.length === version + 1, { everyMs: 1 });
    }
    const pushes = await rig.metric("nebula_pushes_total");
    assert.ok(pushes < 101 + 10, `${pushes} pushes for 101 that the other device got: the stuck one got more than fit its window`);

    const received: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => received.push(chunk));
    await eventually(() => Buffer.concat(received).includes("v100-"));
    assert.ok(Buffer.concat(received).length < 10 * padding.length);
  });

  it("each flood of reports holds all connections of devices, also those that were read again since the flood before", async () => {
    const clock = new ManualClock();
    const due: (() => void)[] = [];
    let isPaused = false;
    const turns = new TurnTaking({ clock, nextTurn: (turn) => (isPaused ? due.push(turn) : setImmediate(turn)) });
    await using rig = await startWatchRig({ turns });
    await rig.putApp("web", "v0");
    await rig.putGroup("g", ["web"]);
    const devices = ["a", "b", "c"].map((deviceId) => rig.watch({ deviceId }));
    const unnamed = rig.watch({});
    await eventually(() => [...devices, unnamed].every(({ last }) => last === "v0@1"));

    /** Has reports arrive for FLOOD_MS in one turn; answers how many connections are held then, and has all of them read again. */
    const flood = async () => {
      isPaused = true;
      for (let report = 1; report < FLOOD_REPORTS; report++) turns.report(0, new AbortController().signal);
      await clock.advance(FLOOD_MS);
      turns.report(0, new AbortController().signal);
      const held = turns.waiting.connections;
      isPaused = false;
      for (const turn of due.splice(0)) turn();
      await eventually(() => turns.waiting.connections === 0);
      return held;
    };
    assert.equal(await flood(), 3);
    assert.equal(await flood(), 3);
    devices[0]?.close();
    await eventually(() => rig.hub.streams === 3);
    assert.equal(await flood(), 2);
  });

  it("a flood holds the connections that came last first, and those that are held no more than once", async () => {
    const holds: ((most: number) => void)[] = [];
    class SlowTurns extends TurnTaking {
      override onFlood(hold: (most: number) => void): void {
        holds.push(hold);
      }
    }
    const due: (() => void)[] = [];
    await using rig = await startWatchRig({ turns: new SlowTurns({ clock: new ManualClock(), nextTurn: (turn) => due.push(turn) }) });
    await rig.putGroup("g", []);
    await using first = new RawClient(rig.port);
    await using second = new RawClient(rig.port);
    await using third = new RawClient(rig.port);
    const clients = { first, second, third };
    for (const [index, [deviceId, client]] of Object.entries(clients).entries()) {
      client.call(WATCH_PATH, request({ deviceId })).resume();
      await eventually(() => rig.hub.streams === index + 1);
    }
    const answered = new Set<string>();
    const pinged = Object.entries(clients).map(([name, { session }]) => {
      return new Promise<void>((resolve) => {
        session.ping(() => {
          answered.add(name);
          resolve();
        });
      });
    });
    for (const hold of holds) hold(1);
    for (const hold of holds) hold(1);
    await eventually(() => answered.size > 0);
    assert.deepEqual([...answered], ["first"]);
    while (due.length > 0) for (const turn of due.splice(0)) turn();
    await Promise.all(pinged);
  });

  it("a connection without a byte for 2.5 keepalives is ended, one that pings is not", async () => {
    const clock = new ManualClock();
    await using rig = await startWatchRig({ clock });
    await using silent = new RawClient(rig.port);
    await using pinging = new RawClient(rig.port);
    await rig.putGroup("g", []);
    for (const [name, client] of Object.entries({ silent, pinging })) {
      client.call(WATCH_PATH, request({ deviceId: name, keepaliveMs: 10_000 })).resume();
    }
    await eventually(() => rig.hub.streams === 2);
    for (let passed = 0; passed < 30; passed += 5) {
      await clock.advance(5000);
      await new Promise<void>((resolve) => void pinging.session.ping(() => resolve()));
    }
    await eventually(() => silent.session.destroyed && rig.hub.streams === 1);
    assert.ok(!pinging.session.destroyed);
    assert.equal(await rig.metric("nebula_watch_ends_total"), 1);
  });

  it("a connection without a byte for 30 s after a push is ended", async () => {
    const clock = new ManualClock();
    await using rig = await startWatchRig({ clock });
    await using silent = new RawClient(rig.port);
    await using nobody = new RawClient(rig.port);
    await rig.putGroup("g", []);
    silent.call(WATCH_PATH, request({ deviceId: "d" })).resume();
    nobody.call(WATCH_PATH, request({})).resume();
    await eventually(() => rig.hub.streams === 2);
    await eventually(async () => (await rig.metric("nebula_pushes_total")) === 2);
    await clock.advance(25_000);
    assert.equal(rig.hub.streams, 2);
    await clock.advance(15_000);
    await eventually(() => silent.session.destroyed);
    assert.ok(!nobody.session.destroyed, "a watch without a device_id is nobody's presence");
  });

  it("a device that disconnects leaves nothing behind", async () => {
    await using rig = await startWatchRig();
    await rig.putGroup("g", []);
    {
      await using client = new RawClient(rig.port);
      for (let index = 0; index < 50; index++) client.call(WATCH_PATH, request({ deviceId: `d${index}` })).resume();
      await eventually(() => rig.hub.streams === 50);
    }
    await eventually(() => rig.hub.streams === 0 && rig.hub.groups === 0);
  });

  it("malformed requests are refused by name, and the manager serves on", async () => {
    await using rig = await startWatchRig();
    await using client = new RawClient(rig.port);
    assert.equal(await client.status(WATCH_PATH, Buffer.from([0xff, 0xff, 0xff])), 3);
    assert.equal(await client.status(WATCH_PATH, request({ deviceGroup: "no/name" })), 3);
    assert.equal(await client.status(WATCH_PATH, request({ keepaliveMs: 9999 })), 3);
    assert.equal(await client.status(WATCH_PATH, request({ keepaliveMs: 1_800_001 })), 3);
    const empty = client.session.request({ ":method": "POST", ":path": WATCH_PATH, "content-type": "application/grpc" });
    empty.end();
    empty.resume();
    await once(empty, "close");
    const watch = rig.watch({});
    await eventually(() => watch.last === "noSuchGroup");
    assert.equal(rig.hub.streams, 1);
  });
});
