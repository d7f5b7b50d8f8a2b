import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { DeviceSchema } from "../../gen/nebula/v1/device_pb.ts";
import { PresentGroups } from "./present-groups.ts";

/** Over stores that count what they are asked. */
function start() {
  const clock = new ManualClock();
  const tokens = new Map<string, string>();
  const statuses = new Map<string, string>();
  const asked: string[] = [];
  let isAway = false;
  let hangs = false;
  const signals: AbortSignal[] = [];
  const groups = new PresentGroups({
    accessStore: {
      async deviceToken(deviceId, signal) {
        asked.push(deviceId);
        if (signal !== undefined) signals.push(signal);
        if (hangs) await new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason), { once: true }));
        if (isAway) throw new NebulaError("unavailable", "away");
        const deviceGroup = tokens.get(deviceId);
        const rest = { tokenHash: "", nextHash: "", enrolmentId: "", enrolledAt: 0, rotatedAt: 0 };
        return deviceGroup === undefined ? undefined : { deviceId, deviceGroup, ...rest };
      },
    },
    reportStore: {
      async getDevice(deviceId) {
        const deviceGroup = statuses.get(deviceId);
        return deviceGroup === undefined ? undefined : create(DeviceSchema, { deviceId, deviceGroup });
      },
    },
    clock,
    cacheTimeMs: 10_000,
  });
  const away = (value: boolean) => {
    isAway = value;
  };
  const hang = (value: boolean) => {
    hangs = value;
  };
  return { groups, clock, tokens, statuses, asked, away, hang, signals };
}

describe("the group that a device is in", () => {
  it("the group of a device is that of its token, else that of its status, else none", async () => {
    const { groups, tokens, statuses } = start();
    tokens.set("till", "bank");
    statuses.set("till", "shops");
    statuses.set("kiosk", "shops");
    assert.deepEqual(await groups.of("till"), { deviceGroup: "bank", hasToken: true });
    assert.deepEqual(await groups.of("kiosk"), { deviceGroup: "shops", hasToken: false });
    assert.equal(await groups.of("new"), undefined);
  });

  it("P1: the group of a device is read once per cache time, also by calls that come at once", async () => {
    const { groups, clock, statuses, asked } = start();
    statuses.set("kiosk", "shops");
    await Promise.all([groups.of("kiosk"), groups.of("kiosk"), groups.of("kiosk")]);
    await clock.advance(9999);
    await groups.of("kiosk");
    assert.deepEqual(asked, ["kiosk"]);
    statuses.set("kiosk", "bank");
    await clock.advance(1);
    assert.equal((await groups.of("kiosk"))?.deviceGroup, "bank");
    assert.deepEqual(asked, ["kiosk", "kiosk"]);
  });

  it("P1: the group of a device is read again at once where this shard admitted the device elsewhere, or forgot it", async () => {
    const { groups, statuses } = start();
    statuses.set("kiosk", "shops");
    await groups.of("kiosk");
    statuses.set("kiosk", "bank");
    groups.reported("kiosk", "bank");
    assert.equal((await groups.of("kiosk"))?.deviceGroup, "bank");
    statuses.delete("kiosk");
    groups.forget("kiosk");
    assert.equal(await groups.of("kiosk"), undefined);
  });

  it("P2: the group is read every time for a device that has none, and after a store that did not answer", async () => {
    const { groups, statuses, away } = start();
    assert.equal(await groups.of("kiosk"), undefined);
    statuses.set("kiosk", "shops");
    away(true);
    await assert.rejects(groups.of("kiosk"), /away/);
    away(false);
    assert.equal((await groups.of("kiosk"))?.deviceGroup, "shops");
  });

  it("the group of a device is not read any more once every call that waits for it has gone, and is read again for the next one", async () => {
    const { groups, statuses, hang, asked, signals } = start();
    statuses.set("kiosk", "shops");
    hang(true);
    const [one, other] = [new AbortController(), new AbortController()];
    const calls = [one, other].map(({ signal }) => groups.of("kiosk", signal));
    one.abort(new Error("one has gone"));
    await assert.rejects(calls[0] ?? assert.fail(), /one has gone/);
    assert.equal(signals[0]?.aborted, false, "the other call waits for it");
    other.abort(new Error("the other has gone"));
    await assert.rejects(calls[1] ?? assert.fail(), /the other has gone/);
    assert.equal(signals[0]?.aborted, true);
    hang(false);
    assert.equal((await groups.of("kiosk"))?.deviceGroup, "shops");
    assert.deepEqual(asked, ["kiosk", "kiosk"]);
  });
});
