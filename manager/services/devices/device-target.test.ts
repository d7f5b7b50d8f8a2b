import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { validateDeviceFilter } from "../../../common/insight/device-filter.ts";
import { StopAppRequestSchema } from "../../../gen/nebula/v1/app_pb.ts";
import { DeleteDeviceGroupRequestSchema, PruneRequestSchema, UpdateDeviceGroupRequestSchema } from "../../../gen/nebula/v1/device_group_pb.ts";
import {
  CountDevicesRequestSchema,
  DeviceFilterSchema,
  DeviceOrder,
  TargetKind,
  WatchDevicesRequestSchema,
} from "../../../gen/nebula/v1/device_pb.ts";
import type { Principal } from "../../access/principal.ts";
import { callOf } from "../../testing/entity-rig.ts";
import { ADMIN, startFleet, startFleetRig, user } from "../../testing/fleet-rig.ts";
import { followedOf } from "./device-target.ts";

const { APP, CRON_JOB, DEVICE_GROUP } = TargetKind;
const never = new AbortController().signal;
type Rig = Awaited<ReturnType<typeof startFleetRig>>;
type Filter = MessageInitShape<typeof DeviceFilterSchema>;

const of = (kind: TargetKind, name: string, revision = 0n): Filter => ({ target: { kind, name, revision } });

/** The target that devices follow, and the groups that it reaches. */
async function follow({ deps }: Rig, filter: Filter) {
  const { target, deviceGroups } = (await followedOf(deps.configStore, create(DeviceFilterSchema, filter), never)) ?? assert.fail("no target");
  return [target, [...deviceGroups].sort()];
}

async function list({ devices }: Rig, filter: Filter, by: Principal = ADMIN, order: DeviceOrder = DeviceOrder.UNSPECIFIED): Promise<string[]> {
  const asked = { deviceGroup: "", filter: create(DeviceFilterSchema, filter), summariesOnly: true, page: { limit: 10 }, order, descending: false };
  return (await devices.listDevices(asked, by, never)).devices.map(({ deviceId }) => deviceId);
}

const isRefused = (code: "not_found" | "permission_denied", text: RegExp) => (error: unknown) =>
  isNebulaError(error, code) && text.test(error.message);

describe("the target of a filter of devices", () => {
  it("devices follow what a revision of an app led to, in the groups that have it now", async () => {
    await using rig = await startFleetRig();
    await rig.updateWeb();
    await rig.apps.stopApp(create(StopAppRequestSchema, { name: "web" }), callOf("ann"));
    const web = { kind: APP, name: "web" };
    for (const [revision, verb] of [
      [1n, "update"],
      [2n, "update"],
      [3n, "stop"],
    ] as const) {
      assert.deepEqual(await follow(rig, of(APP, "web", revision)), [{ ...web, revision, verb }, ["shops", "tills"]]);
    }
    assert.deepEqual(await follow(rig, of(APP, "web")), [{ ...web, revision: 3n, verb: "stop" }, ["shops", "tills"]]);
    assert.deepEqual(await follow(rig, of(APP, "pos")), [{ kind: APP, name: "pos", revision: 1n, verb: "update" }, ["tills"]]);
  });

  it("devices of a device_group follow the members that a revision gained and lost, a prune, and nothing of a deleted one", async () => {
    await using rig = await startFleetRig();
    const ann = callOf("ann");
    const update = create(UpdateDeviceGroupRequestSchema, { deviceGroup: { name: "shops", apps: ["pos"] }, updateFields: ["apps"] });
    await rig.groups.updateDeviceGroup(update, ann);
    const pruned = (await rig.groups.prune(create(PruneRequestSchema, { name: "shops" }), ann)).deviceGroup;
    await rig.groups.deleteDeviceGroup(create(DeleteDeviceGroupRequestSchema, { name: "shops" }), ann);
    const shops = { kind: DEVICE_GROUP, name: "shops" };
    const app = (name: string) => ({ kind: APP, name });
    const targets = [1n, 2n, 3n, 4n].map((revision) => follow(rig, of(DEVICE_GROUP, "shops", revision)));
    assert.deepEqual(await Promise.all(targets), [
      [{ ...shops, revision: 1n, verb: "update", added: [app("web")], removed: [] }, ["shops"]],
      [{ ...shops, revision: 2n, verb: "update", added: [app("pos")], removed: [app("web")] }, ["shops"]],
      [{ ...shops, revision: 3n, verb: "prune", pruneId: pruned?.pruneId }, ["shops"]],
      [{ ...shops, revision: 4n, verb: "delete" }, ["shops"]],
    ]);
  });

  it("a list of all devices opens the groups that the target reaches, and no others", async () => {
    await using rig = await startFleet();
    assert.deepEqual(await list(rig, of(APP, "pos")), ["till-1"]);
    assert.equal(rig.groupViews.mirrors, 1);
    assert.deepEqual(await list(rig, of(APP, "pos"), ADMIN, DeviceOrder.STANDING), ["till-1"]);
    assert.equal(rig.groupViews.mirrors, 1);
    assert.deepEqual(await list(rig, of(APP, "web"), ADMIN, DeviceOrder.DEVICE_ID), ["broken", "fine", "gone", "new", "till-1"]);
    assert.deepEqual(await list(rig, of(APP, "web"), user({ apps: { web: "ro" }, deviceGroups: { shops: "ro" } })), [
      "broken",
      "fine",
      "gone",
      "new",
    ]);
  });

  it("a target that never was, or whose revision is not kept, is not found, and one of no kind or name is refused", async () => {
    await using rig = await startFleetRig();
    await assert.rejects(list(rig, of(APP, "nope")), isRefused("not_found", /app "?'?nope/));
    await assert.rejects(list(rig, of(CRON_JOB, "web")), isRefused("not_found", /cron_job/));
    await assert.rejects(list(rig, of(APP, "web", 7n)), isRefused("not_found", /revision 7 of app web/));
    const texts = validateDeviceFilter(create(DeviceFilterSchema, of(TargetKind.UNSPECIFIED, "a/b"))).map(
      ({ field, description }) => `${field}: ${description}`,
    );
    assert.match(texts[0] ?? "", /^filter\.target\.kind: invalid kind "0"; use TARGET_KIND_APP, TARGET_KIND_CRON_JOB, TARGET_KIND_DEVICE_GROUP$/);
    assert.match(texts[1] ?? "", /^filter\.target\.name: /);
  });

  it("lists, counts and watches need ro on the target, and a watch ends when that is taken away", async () => {
    await using rig = await startFleet();
    const [principal, allowed] = [user({ deviceGroups: { shops: "ro" } }), user({ apps: { web: "ro" }, deviceGroups: { shops: "ro" } })];
    const refused = isRefused("permission_denied", /ro on the app web/);
    await assert.rejects(list(rig, of(APP, "web"), principal), refused);
    let check: (now: Principal) => void = () => assert.fail("nothing is checked");
    const keepAllowed = (kept: typeof check) => {
      check = kept;
    };
    const context = (principal: Principal) => ({ ...callOf("ann"), principal, keepAllowed });
    const counted = create(CountDevicesRequestSchema, { deviceGroup: "shops", filter: of(APP, "web") });
    await assert.rejects(rig.devices.unary.countDevices(counted, context(principal)), refused);
    const watched = create(WatchDevicesRequestSchema, { deviceGroups: ["shops"], filter: of(APP, "web") });
    const watch = (by: Principal) => rig.devices.streams.watchDevices(watched, context(by))[Symbol.asyncIterator]();
    await assert.rejects(watch(principal).next(), refused);
    const stream = watch(allowed);
    assert.equal((await stream.next()).value?.devices?.length, 4);
    check(allowed);
    assert.throws(() => check(principal), refused);
    await stream.return?.();
  });
});
