import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { DeviceStanding, WatchApplyResponseSchema } from "../../gen/nebula/v1/apply_pb.ts";
import { FailedDevices } from "./failed-devices.ts";

const { APPLIED, FAILED } = DeviceStanding;

function taken(...messages: Exclude<MessageInitShape<typeof WatchApplyResponseSchema>, { $typeName: string }>[]): FailedDevices {
  const failed = new FailedDevices();
  for (const message of messages) failed.take(create(WatchApplyResponseSchema, message));
  return failed;
}
const changed = (standing: DeviceStanding, ...ids: string[]) => ids.map((deviceId) => ({ deviceId, deviceGroup: "pos", standing }));
const more = (standing: DeviceStanding) => [{ standing, devices: 1n }];
const idsOf = ({ devices }: FailedDevices) => devices.map(({ deviceId }) => deviceId).join("");

describe("the devices of a change that failed", () => {
  it("devices that recovered, or left, are failed no more", () => {
    const failed = taken(
      { counts: { failed: 3n }, changed: changed(FAILED, "a", "b", "c") },
      { counts: { failed: 1n }, changed: [...changed(APPLIED, "a"), ...changed(DeviceStanding.UNSPECIFIED, "c")] },
    );
    assert.deepEqual([idsOf(failed), failed.isOlder], ["b", false]);
  });

  it("the list may be older once more devices changed than a message names, until no device is failed", () => {
    const first = { counts: { failed: 3n }, changed: changed(FAILED, "a", "b"), moreChanged: more(FAILED) };
    assert.equal(taken(first).isOlder, false, "all of the first message failed");
    const failed = taken(first, { counts: { failed: 1n }, moreChanged: more(APPLIED) });
    assert.deepEqual([idsOf(failed), failed.isOlder], ["ab", true]);
    failed.take(create(WatchApplyResponseSchema, { counts: { failed: 0n }, moreChanged: more(APPLIED) }));
    assert.deepEqual([idsOf(failed), failed.isOlder], ["", false]);
  });

  it("a stream that begins names the devices that failed again", () => {
    const failed = taken({ counts: { failed: 2n }, changed: changed(FAILED, "a") }, { counts: { failed: 2n }, moreChanged: more(FAILED) });
    failed.restart();
    failed.take(create(WatchApplyResponseSchema, { counts: { failed: 1n }, changed: changed(FAILED, "b"), moreChanged: more(FAILED) }));
    assert.deepEqual([idsOf(failed), failed.isOlder], ["b", false]);
  });

  it("of very many devices 200 are kept, and one that recovers makes room", () => {
    const ids = Array.from({ length: 250 }, (_, index) => `d${index}`);
    const failed = taken(
      { counts: { failed: 250n }, changed: changed(FAILED, ...ids) },
      { counts: { failed: 249n }, changed: changed(APPLIED, "d0") },
    );
    failed.take(create(WatchApplyResponseSchema, { counts: { failed: 250n }, changed: changed(FAILED, "d249", "d248") }));
    assert.deepEqual([failed.devices.length, failed.devices.at(-1)?.deviceId], [200, "d249"]);
  });
});
