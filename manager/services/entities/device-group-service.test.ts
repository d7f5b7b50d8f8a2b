import { strict as assert } from "node:assert";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { ManualClock } from "../../../common/clock/manual-clock.ts";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { CreateAppRequestSchema, DeleteAppRequestSchema } from "../../../gen/nebula/v1/app_pb.ts";
import {
  CreateDeviceGroupRequestSchema,
  DeleteDeviceGroupRequestSchema,
  DeviceGroupSchema,
  GetDeviceGroupRequestSchema,
  PruneAllRequestSchema,
  type PruneAllResponse,
  PruneAllResponseSchema,
  PruneRequestSchema,
  UpdateDeviceGroupRequestSchema,
} from "../../../gen/nebula/v1/device_group_pb.ts";
import { rightsOf } from "../../access/rights/rights.ts";
import { refusal } from "../../testing/app-calls.ts";
import { callOf, type EntityRig, startEntityRig } from "../../testing/entity-rig.ts";
import { plainStore } from "../../testing/plain-store.ts";
import { PRUNED_PER_CALL } from "./device-group-service.ts";

type GroupInit = MessageInitShape<typeof DeviceGroupSchema>;
type Minimums = { minRevision?: bigint; minPruneId?: bigint };

describe("DeviceGroupService", () => {
  const ann = callOf("ann");
  let rig: EntityRig;
  beforeEach(async () => {
    rig = await startEntityRig();
  });
  afterEach(() => rig[Symbol.asyncDispose]());

  const createApp = (name: string, hostPorts: number[] = [], envVars: Record<string, string> = {}) =>
    rig.apps.createApp(
      create(CreateAppRequestSchema, {
        app: { name, dockerImage: "x", envVars, startingPorts: hostPorts.map((hostPort) => ({ hostPort, containerPort: 80 })) },
      }),
      ann,
    );
  const deleteApp = (name: string) => rig.apps.deleteApp(create(DeleteAppRequestSchema, { name }), ann);
  async function createGroup(fields: GroupInit = {}, minimums: Minimums = {}, context = ann) {
    const request = create(CreateDeviceGroupRequestSchema, { deviceGroup: { name: "pos", ...fields }, ...minimums });
    const { deviceGroup, warnings } = await rig.groups.createDeviceGroup(request, context);
    return { group: create(DeviceGroupSchema, deviceGroup ?? assert.fail()), warnings };
  }
  async function updateGroup(fields: GroupInit, updateFields: string[], minimums: Minimums & { redeploy?: boolean } = {}, context = ann) {
    const request = create(UpdateDeviceGroupRequestSchema, { deviceGroup: { name: "pos", ...fields }, updateFields, ...minimums });
    const { deviceGroup, warnings } = await rig.groups.updateDeviceGroup(request, context);
    return { group: create(DeviceGroupSchema, deviceGroup ?? assert.fail()), warnings };
  }
  const deleteGroup = async () => (await rig.groups.deleteDeviceGroup(create(DeleteDeviceGroupRequestSchema, { name: "pos" }), ann)).revision;
  const prune = async (name = "pos") =>
    create(DeviceGroupSchema, (await rig.groups.prune(create(PruneRequestSchema, { name }), ann)).deviceGroup ?? assert.fail());

  it("a device_group is created at revision 1 and prune_id 1, in the order given", async () => {
    for (const name of ["a", "b"]) await createApp(name);
    const { group } = await createGroup({ apps: ["b", "a"], revision: 9n, pruneId: 9n });
    assert.deepEqual(group, create(DeviceGroupSchema, { name: "pos", revision: 1n, pruneId: 1n, apps: ["b", "a"], spread: 1 }));
    assert.deepEqual(await rig.store.groupsNaming("app", "a"), ["pos"]);
    const read = await rig.groups.getDeviceGroup(create(GetDeviceGroupRequestSchema, { name: "pos" }), ann);
    assert.deepEqual([read.deviceGroup, read.lastChange?.by], [group, "ann"]);
  });

  it("a device_group says whether its reader may change it, and prune it", async () => {
    await createGroup();
    const readBy = async (level: string, pruningAllowed: boolean) => {
      const rights = rightsOf([{ admin: false, pruningAllowed, apps: {}, cronJobs: {}, deviceGroups: { pos: level } }]);
      const context = { ...ann, principal: { kind: "user" as const, name: "bob", rights } };
      const { mayWrite, mayPrune } = await rig.groups.getDeviceGroup(create(GetDeviceGroupRequestSchema, { name: "pos" }), context);
      return [mayWrite, mayPrune];
    };
    assert.deepEqual(await readBy("ro", false), [false, false]);
    assert.deepEqual(await readBy("ro", true), [false, true]);
    assert.deepEqual(await readBy("rw", false), [true, true]);
  });

  it("a device_group that is read says what looks unintended, if it is asked for that", async () => {
    const startingPorts = [{ hostPort: 80, containerPort: 80 }];
    for (const name of ["a", "b"])
      await rig.apps.createApp(create(CreateAppRequestSchema, { app: { name, dockerImage: "shop:1", startingPorts } }), ann);
    const { warnings: told } = await createGroup({ apps: ["a", "b"] });
    assert.equal(told?.length, 1);
    const read = async (warnings: boolean) =>
      (await rig.groups.getDeviceGroup(create(GetDeviceGroupRequestSchema, { name: "pos", warnings }), ann)).warnings;
    assert.deepEqual([await read(true), await read(false)], [told, []]);
  });

  it("a device_group has only members that exist: each that does not is named", async () => {
    await createApp("a");
    await createApp("gone");
    await deleteApp("gone");
    await assert.rejects(
      createGroup({ apps: ["a", "gone", "never"], cronJobs: ["none"] }),
      (error) => isNebulaError(error, "invalid_argument") && error.violations.map(({ field }) => field).join() === "apps[1],apps[2],cron_jobs[0]",
    );
    await createGroup({ apps: ["a"] });
    await assert.rejects(
      updateGroup({ apps: ["a", "never"] }, ["apps"]),
      refusal("invalid_argument", /^apps\[1\]: there is no app "never": create it, or leave it out/),
    );
  });

  it("a device_group has only members that the caller may read, and others do not learn whether they exist", async () => {
    for (const name of ["a", "vault"]) await createApp(name);
    const rights = rightsOf([{ admin: false, pruningAllowed: false, apps: { a: "ro" }, cronJobs: {}, deviceGroups: { pos: "rw" } }]);
    const bob = { ...ann, principal: { kind: "user", name: "bob", rights } } as const;
    const denied = (what: string) => refusal("permission_denied", new RegExp(`bob may not do this: it needs ro on the ${what}`));
    await assert.rejects(createGroup({ apps: ["a", "vault"] }, {}, bob), denied("app vault"));
    await assert.rejects(createGroup({ apps: ["a", "never"] }, {}, bob), denied("app never"));
    await assert.rejects(createGroup({ cronJobs: ["never"] }, {}, bob), denied("cron_job never"));
    await createGroup({ apps: ["a"] }, {}, bob);
    await assert.rejects(updateGroup({ apps: ["a", "vault"] }, ["apps"], {}, bob), denied("app vault"));
    await updateGroup({ apps: ["a", "vault"] }, ["apps"]);
    const { group } = await updateGroup({ apps: ["vault", "a"] }, ["apps"], {}, bob); // what is in it already is not his to judge
    assert.deepEqual(group.apps, ["vault", "a"]);
  });

  it("an update does not check members again that the device_group had, and answers which are deleted", async () => {
    for (const name of ["a", "b"]) await createApp(name);
    await createGroup({ apps: ["a"] });
    await deleteApp("a");
    const { group, warnings } = await updateGroup({ apps: ["b", "a"] }, ["apps"]);
    assert.deepEqual([group.revision, group.apps], [2n, ["b", "a"]]);
    assert.deepEqual(warnings, ["device_group pos names the app a, which does not exist"]);
    assert.deepEqual((await updateGroup({ apps: ["b"] }, ["apps"])).warnings, []);
    await assert.rejects(updateGroup({ apps: ["b", "a"] }, ["apps"]), refusal("invalid_argument", /no app "a"/));
  });

  it("a device_group warns of a host port that two of its apps claim", async () => {
    await createApp("a", [80]);
    await createApp("b", [80]);
    assert.deepEqual((await createGroup({ apps: ["a", "b"] })).warnings, [
      "device_group pos: apps a and b both claim host port 80/tcp; a comes first and gets it",
    ]);
  });

  it("a device_group warns of a config above 1 MiB", async () => {
    const names = Array.from({ length: 20 }, (_, index) => `app-${index}`);
    for (const name of names) await createApp(name, [], { LARGE: "x".repeat(60_000) });
    assert.match(String((await createGroup({ apps: names })).warnings), /^device_group pos: the config is 1\.1 MiB/);
  });

  it("an update writes nothing where nothing differs, and with redeploy the revision alone", async () => {
    await createGroup();
    assert.equal((await updateGroup({ spread: 0 }, ["*"])).group.revision, 1n);
    const { group } = await updateGroup({}, [], { redeploy: true });
    assert.deepEqual([group.revision, group.pruneId], [2n, 1n]);
  });

  it("the lookups of a device_group follow: members that left and a deleted group leave nothing", async () => {
    for (const name of ["a", "b"]) await createApp(name);
    await createGroup({ apps: ["a", "b"] });
    await updateGroup({ apps: ["b"] }, ["apps"]);
    assert.deepEqual([await rig.store.groupsNaming("app", "a"), await rig.store.groupsNaming("app", "b")], [[], ["pos"]]);
    assert.equal(await deleteGroup(), 3n);
    assert.deepEqual(await rig.store.groupsNaming("app", "b"), []);
    await assert.rejects(updateGroup({}, ["*"]), refusal("not_found", /there is no device_group "pos"/));
  });

  describe("prune", () => {
    it("a prune raises prune_id and revision at every call; no other write changes prune_id", async () => {
      await createGroup();
      assert.deepEqual([(await prune()).pruneId, (await prune()).pruneId], [2n, 3n]);
      const { group } = await updateGroup({ spread: 2, pruneId: 50n }, ["*"]);
      assert.deepEqual([group.revision, group.pruneId], [4n, 3n]);
      await assert.rejects(updateGroup({ pruneId: 50n }, ["prune_id"]), refusal("invalid_argument", /set by the server/));
      const [, newest] = (await rig.store.history({ kind: "device_group", name: "pos" }, { limit: 2 })).items;
      assert.equal(newest?.action, "prune");
    });

    it("a prune_id continues after a delete: a new group starts with the tombstone's prune_id", async () => {
      await createGroup();
      await prune();
      assert.equal(await deleteGroup(), 3n);
      const tombstone = await rig.store.get({ kind: "device_group", name: "pos" });
      assert.equal(tombstone && fromBinary(DeviceGroupSchema, tombstone.body).pruneId, 2n);
      const { group } = await createGroup();
      assert.deepEqual([group.revision, group.pruneId], [4n, 2n]);
    });

    it("a prune_id is raised by an import to min_prune_id, never lowered, for admins alone", async () => {
      assert.deepEqual((({ revision, pruneId }) => [revision, pruneId])((await createGroup({}, { minRevision: 7n, minPruneId: 5n })).group), [
        7n,
        5n,
      ]);
      const raised = await updateGroup({}, ["*"], { minPruneId: 9n });
      assert.deepEqual([raised.group.revision, raised.group.pruneId], [8n, 9n]);
      const reached = await updateGroup({}, ["*"], { minRevision: 8n, minPruneId: 9n });
      assert.deepEqual([reached.group.revision, reached.group.pruneId], [8n, 9n]);
      assert.equal((await updateGroup({}, ["*"], { minPruneId: 3n })).group.pruneId, 9n);
      const bob = callOf("bob", { admin: false });
      await assert.rejects(updateGroup({}, ["*"], { minPruneId: 10n }, bob), refusal("permission_denied", /min_prune_id/));
      await assert.rejects(createGroup({ name: "x" }, { minPruneId: 10n }, bob), refusal("permission_denied", /min_prune_id/));
    });

    it("a prune of a group that does not exist is refused", async () => {
      await assert.rejects(prune("none"), refusal("not_found", /there is no device_group "none"/));
      await assert.rejects(prune(""), refusal("invalid_argument", /^name: is missing/));
    });

    it("a prune of all ends a call before its deadline where writes are slow, and the next call prunes the rest, none twice", async () => {
      const clock = new ManualClock();
      let isSlow = false;
      await using slow = await startEntityRig({
        clock,
        wrapStore: (store) => ({
          ...plainStore(store),
          async write(change) {
            if (isSlow) await clock.advance(1000);
            return store.write(change);
          },
        }),
      });
      const names = Array.from({ length: 25 }, (_, index) => `g${String(index).padStart(2, "0")}`);
      for (const name of names) await slow.groups.createDeviceGroup(create(CreateDeviceGroupRequestSchema, { deviceGroup: { name } }), ann);
      isSlow = true;
      const call = async (pageToken: string) =>
        create(PruneAllResponseSchema, await slow.groups.pruneAll(create(PruneAllRequestSchema, { pageToken }), ann));
      const begun = clock.monotonic();
      const first = await call("");
      assert.ok(clock.monotonic() - begun <= 15_000);
      assert.deepEqual(Object.keys(first.pruneIds), names.slice(0, 10));
      const second = await call(first.nextPageToken);
      const third = await call(second.nextPageToken);
      assert.deepEqual([...Object.keys(second.pruneIds), ...Object.keys(third.pruneIds)], names.slice(10));
      assert.equal(third.nextPageToken, "");
    });

    it("a prune of all prunes 100 groups a call, answers where the next call resumes, and leaves deleted groups out", async () => {
      const names = Array.from({ length: 203 }, (_, index) => `g${index}`);
      for (const name of names) await createGroup({ name });
      await createGroup();
      await deleteGroup();
      await prune("g7");
      const pruneIds: Record<string, bigint> = {};
      const calls: number[] = [];
      for (let pageToken: string | undefined = ""; pageToken !== undefined; ) {
        const answer: PruneAllResponse = create(PruneAllResponseSchema, await rig.groups.pruneAll(create(PruneAllRequestSchema, { pageToken }), ann));
        calls.push(Object.keys(answer.pruneIds).length);
        Object.assign(pruneIds, answer.pruneIds);
        pageToken = answer.nextPageToken === "" ? undefined : answer.nextPageToken;
      }
      assert.deepEqual(calls, [PRUNED_PER_CALL, PRUNED_PER_CALL, 3]);
      assert.deepEqual(pruneIds, Object.fromEntries(names.map((name) => [name, name === "g7" ? 3n : 2n])));
    }).timeout(20_000);
  });
});
