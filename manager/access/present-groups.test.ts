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
  const groups = new PresentGroups({
    accessStore: {
      async deviceToken(deviceId) {
        asked.push(deviceId);
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
  return { groups, clock, tokens, statuses, asked, away };
}

describe("the group that a device is in", () => {
  it("is that of its token, else that of its status, else none", async () => {
    const { groups, tokens, statuses } = start();
    tokens.set("till", "bank");
    statuses.set("till", "shops");
    statuses.set("kiosk", "shops");
    assert.deepEqual(await groups.of("till"), { deviceGroup: "bank", hasToken: true });
    assert.deepEqual(await groups.of("kiosk"), { deviceGroup: "shops", hasToken: false });
    assert.equal(await groups.of("new"), undefined);
  });

  it("P1: is read once per cache time, also by calls that come at once", async () => {
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

  it("P1: is read again at once where this shard took the device elsewhere, or forgot it", async () => {
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

  it("P2: is read every time of a device that has none, and after a store that did not answer", async () => {
    const { groups, statuses, away } = start();
    assert.equal(await groups.of("kiosk"), undefined);
    statuses.set("kiosk", "shops");
    away(true);
    await assert.rejects(groups.of("kiosk"), /away/);
    away(false);
    assert.equal((await groups.of("kiosk"))?.deviceGroup, "shops");
  });
});
