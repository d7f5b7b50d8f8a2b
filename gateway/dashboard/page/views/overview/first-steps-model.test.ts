import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { GetOverviewResponseSchema } from "../../../../../gen/nebula/v1/fleet_pb.ts";
import { enrolmentPlaces, firstSteps, isBeforeFirstDevice } from "./first-steps-model.ts";

const overview = (init: MessageInitShape<typeof GetOverviewResponseSchema>) => create(GetOverviewResponseSchema, init);

describe("the way to the first device", () => {
  it("the way is shown until a device came, or was enrolled, or could not be counted", () => {
    assert.ok(isBeforeFirstDevice(overview({ fleet: {} })));
    assert.ok(isBeforeFirstDevice(overview({ fleet: { states: {} }, groups: [{ deviceGroup: "pos" }] })));
    assert.ok(!isBeforeFirstDevice(overview({ fleet: { states: { offline: 1n } } })));
    assert.ok(!isBeforeFirstDevice(overview({ fleet: { states: { neverCame: 1n } } })));
    assert.ok(!isBeforeFirstDevice(overview({ fleet: {}, groups: [{ deviceGroup: "pos", uncounted: true }] })));
  });

  it("each step says whether it is done, and whether the caller may do it now", () => {
    const state = (answer: ReturnType<typeof overview>, app?: string) =>
      firstSteps(answer, app).map(({ key, isDone, isOffered }) => `${key}${isDone ? " done" : ""}${isOffered ? " offered" : ""}`);
    assert.deepEqual(state(overview({})), ["app", "group", "device"]);
    const mayCreate = { apps: true, deviceGroups: true };
    assert.deepEqual(state(overview({ mayCreate })), ["app offered", "group offered", "device"]);
    assert.deepEqual(state(overview({ mayCreate: { deviceGroups: true } }), "web"), ["app done", "group offered", "device"]);
    const groups = [{ deviceGroup: "pos", revision: 1n }];
    assert.deepEqual(state(overview({ mayCreate, groups }), "web").at(-1), "device", "it may only be read");
    assert.deepEqual(state(overview({ mayCreate: { ...mayCreate, enrolmentGroups: ["pos"] }, groups }), "web"), [
      "app done offered",
      "group done offered",
      "device offered",
    ]);
  });

  it("the lines of nebulactl have the names that there are", () => {
    const lines = (answer: ReturnType<typeof overview>, app?: string) => firstSteps(answer, app).map(({ line }) => line);
    assert.deepEqual(lines(overview({})), [
      "nebulactl apps create APP --image IMAGE",
      "nebulactl device-groups create GROUP --apps APP",
      "nebulactl devices enroll --device-group GROUP",
    ]);
    assert.deepEqual(lines(overview({ groups: [{ deviceGroup: "gone" }, { deviceGroup: "pos", revision: 1n }] }), "web").slice(1), [
      "nebulactl device-groups create GROUP --apps web",
      "nebulactl devices enroll --device-group pos",
    ]);
  });

  it("enrolment tokens are made on the pages of the groups that the caller may change", () => {
    assert.deepEqual(enrolmentPlaces(overview({ mayCreate: { enrolmentGroups: ["pos", "kiosks"] } })), [
      { name: "pos", to: "/ui/groups/pos" },
      { name: "kiosks", to: "/ui/groups/kiosks" },
    ]);
    assert.deepEqual(enrolmentPlaces(overview({})), []);
  });
});
