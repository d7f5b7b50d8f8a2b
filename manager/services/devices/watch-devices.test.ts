import { strict as assert } from "node:assert";
import { setImmediate as turn } from "node:timers/promises";
import type { ManualClock } from "../../../common/clock/manual-clock.ts";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import { ConfigStanding } from "../../../gen/nebula/v1/device_pb.ts";
import { TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import type { GroupView, GroupViews } from "../../insight/views/group-view.ts";
import { DAY_MS, startDevicesRig, startFleet } from "../../testing/devices-rig.ts";

const app = (revision: bigint) => ({ name: "web", revision, appliedRevision: revision, state: TargetState.APPLIED });

describe("watches of devices", () => {
  it("a watch sends the devices that are there, at most 100 a message, then their counts, then each that changes", async () => {
    await using rig = await startDevicesRig();
    for (let index = 0; index < 250; index++) await rig.put(`device-${1000 + index}`);
    const stop = new AbortController();
    const stream = rig.watch({ deviceGroups: ["shops"] }, { signal: stop.signal });
    const sizes: number[] = [];
    for (let complete = false; !complete; ) {
      const { value } = await stream.next();
      sizes.push(value?.devices?.length ?? 0);
      complete = value?.complete === true;
      assert.deepEqual(
        value?.counts?.map(({ devices }: { devices?: bigint }) => devices),
        complete ? [250n] : [],
      );
    }
    assert.deepEqual(sizes, [100, 100, 50]);
    const next = stream.next();
    await rig.put("device-1003", { state: TargetState.FAILED });
    await rig.put("device-1004", { deviceGroup: "offices" });
    for (let turn = 0; turn < 4; turn++) await rig.clock.advance(250);
    const { value } = await next;
    assert.deepEqual(
      value?.devices?.map(({ deviceId, summary }: { deviceId?: string; summary?: { state?: number } }) => [deviceId, summary?.state]),
      [["device-1003", TargetState.FAILED]],
    );
    assert.deepEqual(
      value?.left?.map(({ deviceId }: { deviceId?: string }) => deviceId),
      ["device-1004"],
    );
    assert.deepEqual(
      value?.counts?.map(({ devices, failed }: { devices?: bigint; failed?: bigint }) => [devices, failed]),
      [[249n, 1n]],
    );
    stop.abort(new Error("enough"));
    await assert.rejects(stream.next(), /enough/);
  });

  it("a watch with a filter sends a device when it matches, and that it left when it no longer does, also by time alone", async () => {
    await using rig = await startFleet();
    const stop = new AbortController();
    const filter = { offlineLongerMs: BigInt(30 * DAY_MS + 60_000) };
    const stream = rig.watch({ deviceGroups: ["shops"], filter }, { signal: stop.signal });
    const first = await stream.next();
    assert.deepEqual([first.value?.devices, first.value?.complete], [[], true]);
    /** The next message with devices, or with some that left, while time passes. */
    async function following() {
      for (;;) {
        const { value } = await whileTimePasses(rig, stream.next());
        const [devices, left] = [value?.devices ?? [], value?.left ?? []].map((list) => list.map(({ deviceId }: { deviceId?: string }) => deviceId));
        if (devices?.length !== 0 || left?.length !== 0) return [devices, left];
      }
    }
    assert.deepEqual(await following(), [["gone"], []]);
    await rig.put("gone", {}, rig.clock.now());
    await rig.presence("gone");
    await rig.reportStore.markShard({ boot: "boot-a", name: "m-1", address: "m-1:50051", seenMs: rig.clock.now() });
    const after = await following();
    // its report may be announced before its watch is read
    assert.deepEqual(after[0]?.length === 0 ? after : await following(), [[], ["gone"]]);
    stop.abort(new Error("enough"));
    await assert.rejects(stream.next(), /enough/);
  });

  it("a watch of the devices that run the newest config sends that they left when there is a newer one", async () => {
    await using rig = await startFleet();
    const stop = new AbortController();
    const stream = rig.watch({ deviceGroups: ["shops"], filter: { standing: ConfigStanding.APPLIED } }, { signal: stop.signal });
    const idsOf = (devices: readonly { deviceId?: string }[] | undefined) => devices?.map(({ deviceId }) => deviceId).sort();
    assert.deepEqual(idsOf((await stream.next()).value?.devices), ["fine", "gone"]);
    await rig.updateWeb();
    const { value } = await whileTimePasses(rig, stream.next());
    assert.deepEqual([idsOf(value?.devices), idsOf(value?.left)], [[], ["fine", "gone"]]);
    stop.abort(new Error("enough"));
    await assert.rejects(stream.next(), /enough/);
  });

  it("a watch looks at few devices in a turn of the event loop: when it counts, when none matches, and when all leave", async () => {
    using looks = countLooks();
    await using rig = await startDevicesRig({ wrapViews: looks.wrap });
    const devices = 4000;
    for (let index = 0; index < devices; index++) await rig.put(`device-${1000 + index}`, { apps: [app(3n)] });
    const failed = rig.watch({ deviceGroups: ["shops"], filter: { standing: ConfigStanding.FAILED } });
    assert.deepEqual((await failed.next()).value?.devices, []);
    assert.equal(looks.take(), 2 * devices, "it counts all, and finds none");
    const stop = new AbortController();
    const applied = rig.watch({ deviceGroups: ["shops"], filter: { standing: ConfigStanding.APPLIED } }, { signal: stop.signal });
    const take = async (what: "devices" | "left") => {
      for (let taken = 0; taken < devices; ) taken += (await whileTimePasses(rig, applied.next())).value?.[what]?.length ?? 0;
    };
    await take("devices");
    looks.take();
    await rig.updateWeb();
    await take("left");
    assert.ok(looks.take() >= 3 * devices, "it counts all with the newer config, looks at all, and sends that they left");
    assert.ok(looks.most <= 1000, `${looks.most} devices in one turn`);
    stop.abort(new Error("enough"));
  }).timeout(30_000);

  it("a device that moves is sent and counted by its old group until it reports from the new one, then by that", async () => {
    await using rig = await startDevicesRig();
    await rig.put("mover", { deviceGroup: "offices" });
    const stop = new AbortController();
    const stream = rig.watch({ deviceGroups: ["offices", "shops"] }, { signal: stop.signal });
    const sent = new Set<string>();
    const counts = new Map<string, bigint>();
    const following = (async () => {
      for (;;) {
        const { value } = await stream.next();
        for (const { deviceGroup, deviceId } of value?.left ?? []) sent.delete(`${deviceGroup} ${deviceId}`);
        for (const { deviceGroup, deviceId } of value?.devices ?? []) sent.add(`${deviceGroup} ${deviceId}`);
        for (const { deviceGroup = "", devices = 0n } of value?.counts ?? []) counts.set(deviceGroup, devices);
      }
    })();
    const becomes = (devices: readonly string[], offices: bigint, shops: bigint) =>
      eventually(async () => {
        await rig.clock.advance(250);
        assert.deepEqual([[...sent].sort(), counts.get("offices"), counts.get("shops")], [devices, offices, shops]);
      });
    await becomes(["offices mover"], 1n, 0n);
    await rig.connect("mover", "shops");
    await rig.connect("new", "shops"); // it is sent after the other one
    await becomes(["offices mover", "shops new"], 1n, 1n);
    await rig.put("mover");
    await becomes(["shops mover", "shops new"], 0n, 2n);
    stop.abort(new Error("enough"));
    await assert.rejects(following, /enough/);
  });

  it("a watch of counts alone sends no devices", async () => {
    await using rig = await startFleet();
    const { value } = await rig.watch({ deviceGroups: ["shops"], countsOnly: true }).next();
    assert.deepEqual([value?.devices, value?.counts?.length, value?.complete], [[], 1, true]);
  });

  it("a watch whose group grows beyond the room for devices ends with resource_exhausted, and its room is given back", async () => {
    await using rig = await startDevicesRig({ mostBytes: 20_000 });
    await rig.put("shops-1");
    const watch = rig.watch({ deviceGroups: ["shops"] });
    assert.equal((await watch.next()).value?.complete, true);
    const ending = (async () => {
      for (;;) await watch.next();
    })();
    const refused = assert.rejects(ending, (error) => isNebulaError(error, "resource_exhausted") && (error.retryAfterMs ?? 0) > 0);
    for (let index = 2; index < 30; index++) await rig.put(`shops-${index}`);
    await eventually(() => rig.groupViews.mirrors === 0);
    await rig.clock.advance(1000);
    await refused;
    assert.equal(rig.groupViews.bytes, 0);
  });
});

/** Counts the devices of views that are looked at, and how many of them in one turn of the event loop. */
function countLooks() {
  let [total, inTurn, most, isOver] = [0, 0, 0, false];
  const look = <T>(device: T): T => {
    total++;
    most = Math.max(most, ++inTurn);
    return device;
  };
  void (async () => {
    for (; !isOver; inTurn = 0) await turn();
  })();
  const counted = (devices: GroupView["devices"]): GroupView["devices"] =>
    new Proxy(devices, {
      get(map, name) {
        if (name === "get") return (id: string) => look(map.get(id));
        if (name === "values") return () => map.values().map(look);
        const value = Reflect.get(map, name, map);
        return typeof value === "function" ? value.bind(map) : value;
      },
    });
  return {
    wrap: (views: GroupViews): GroupViews => ({
      async open(...call) {
        const view = await views.open(...call);
        return { ...view, devices: counted(view.devices) };
      },
    }),
    /** Those since it was asked last. */
    take(): number {
      const taken = total;
      total = 0;
      return taken;
    },
    get most() {
      return most;
    },
    [Symbol.dispose]() {
      isOver = true;
    },
  };
}

/** Resolves with the value of a promise, while time passes on the clock of the rig. */
async function whileTimePasses<T>({ clock }: Readonly<{ clock: ManualClock }>, promise: Promise<T>): Promise<T> {
  let isOver = false;
  const over = promise.finally(() => {
    isOver = true;
  });
  await eventually(async () => {
    await clock.advance(5000);
    return isOver;
  });
  return over;
}
