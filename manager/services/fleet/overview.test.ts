import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { isNebulaError, NebulaError } from "../../../common/errors/nebula-error.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import { DeleteDeviceGroupRequestSchema } from "../../../gen/nebula/v1/device_group_pb.ts";
import { TargetKind } from "../../../gen/nebula/v1/device_pb.ts";
import { RevisionAction } from "../../../gen/nebula/v1/history_pb.ts";
import { FailureCode } from "../../../gen/nebula/v1/report_pb.ts";
import type { Principal } from "../../access/principal.ts";
import { callOf } from "../../testing/entity-rig.ts";
import { ADMIN, applied, line, NOW_MS, numbers, STRANGER, startFleet, startFleetRig, user } from "../../testing/fleet-rig.ts";

describe("the overview of a fleet", () => {
  it("the overview counts the devices of all groups by where they stand, with codes, versions and problems", async () => {
    await using rig = await startFleet();
    const { fleet, groups, nextPageToken } = await rig.get();
    const shops = "applied 1 failed 1 offline 1 working 0 waiting 1 never 1 online 3";
    assert.deepEqual(groups.map(line), [`shops: ${shops}`, `tills: ${applied(1, 1)}`]);
    assert.equal(numbers(fleet?.states), "applied 2 failed 1 offline 1 working 0 waiting 1 never 1 online 4");
    assert.deepEqual(
      fleet?.failureCodes.map(({ failureCode, devices }) => [failureCode, devices]),
      [[FailureCode.NO_SPACE, 1n]],
    );
    assert.deepEqual(
      fleet?.workerVersions.map(({ workerVersion, devices }) => [workerVersion, devices]),
      [
        ["0.1.0", 3n],
        ["0.0.9", 1n],
      ],
    );
    assert.deepEqual(
      fleet?.problems.map(({ code, devices }) => [code, devices]),
      [["engine_unreachable", 1n]],
    );
    assert.deepEqual([fleet?.deviceGroups, fleet?.uncountedGroups, nextPageToken], [2n, 0n, ""]);
  });

  it("a manager that stops after somebody read the overview waits for nothing any more, so that its process ends", async () => {
    const rig = await startFleet();
    await rig.get();
    await rig[Symbol.asyncDispose]();
    await eventually(() => assert.equal(rig.clock.sleeping, 0));
  });

  it("the overview of a group has its newest change, and its members with their own numbers, as far as the caller may read them", async () => {
    await using rig = await startFleet();
    await rig.clock.advance(1000);
    await rig.updateWeb();
    const { groups } = await rig.get({ deviceGroups: ["tills"], members: true });
    const [tills] = groups;
    assert.deepEqual([groups.length, tills?.newestChange?.name, tills?.newestChange?.revision], [1, "web", 2n]);
    assert.deepEqual([tills?.newestChange?.change?.by, tills?.newestChange?.action], ["bob", RevisionAction.UPDATE]);
    assert.deepEqual(
      tills?.members.map(({ newest, states }) => `${newest?.name} ${newest?.revision}: ${numbers(states)}`),
      [`pos 1: ${applied(1, 1)}`, "web 2: applied 0 failed 0 offline 0 working 0 waiting 1 never 0 online 1"],
    );
    const may = user({ apps: { pos: "ro" }, deviceGroups: { tills: "ro" } });
    const [seen] = (await rig.get({ members: true }, may)).groups;
    assert.deepEqual([seen?.members.map(({ newest }) => newest?.name), seen?.newestChange?.name], [["pos"], "tills"]);
    assert.deepEqual((await rig.get({ deviceGroups: ["tills"] })).groups[0]?.members, []);
  });

  it("the overview counts only groups that the caller may read, and refuses a group that is named without the right", async () => {
    await using rig = await startFleet();
    const { fleet, groups } = await rig.get({}, user({ deviceGroups: { tills: "ro" } }));
    assert.deepEqual([groups.map(({ deviceGroup }) => deviceGroup), fleet?.deviceGroups, fleet?.states?.applied], [["tills"], 1n, 1n]);
    assert.deepEqual((await rig.get({}, STRANGER)).groups, []);
    await assert.rejects(rig.get({ deviceGroups: ["shops"] }, STRANGER), (error) => isNebulaError(error, "permission_denied"));
    await assert.rejects(rig.get({ deviceGroups: ["nope"] }), (error) => isNebulaError(error, "not_found"));
    for (const init of [{ deviceGroups: ["no name"] }, { deviceGroups: Array(101).fill("a") }, { pageSize: 1001 }, { pageToken: "!" }])
      await assert.rejects(rig.get(init), (error) => isNebulaError(error, "invalid_argument"));
  });

  it("the overview says what the caller may create: names with a prefix of theirs, and device_groups of single names that do not exist", async () => {
    await using rig = await startFleet();
    const may = async (deviceGroups: Record<string, string>, init = {}) => {
      const { mayCreate } = await rig.get(init, user({ apps: { web: "rw", "api-*": "rw" }, deviceGroups }));
      return [mayCreate?.apps, mayCreate?.deviceGroups];
    };
    assert.deepEqual(await may({ "*": "ro" }), [true, false]);
    assert.deepEqual(await may({ "shop-*": "rw" }), [true, true]);
    assert.deepEqual(await may({ tills: "rw" }), [true, false], "it exists");
    assert.deepEqual(await may({ tills: "ro", kiosks: "rw" }), [true, true]);
    assert.deepEqual(await may({ tills: "ro", kiosks: "rw" }, { deviceGroups: ["tills"] }), [true, false], "kiosks is not looked at");
    assert.deepEqual((await rig.get({}, user({ apps: { web: "rw", new: "rw" } }))).mayCreate?.apps, false);
    const { mayCreate } = await rig.get();
    assert.deepEqual([mayCreate?.apps, mayCreate?.deviceGroups], [true, true]);
  });

  it("the overview names the first device_groups that exist and whose enrolment tokens the caller may make", async () => {
    await using rig = await startFleet();
    const places = async (deviceGroups: Record<string, string>, init = {}) =>
      (await rig.get(init, user({ deviceGroups }))).mayCreate?.enrolmentGroups;
    assert.deepEqual(await places({ shops: "ro", tills: "rw" }), ["tills"]);
    assert.deepEqual(await places({ "*": "rw" }), ["shops", "tills"]);
    assert.deepEqual(await places({ "*": "rw" }, { deviceGroups: ["shops"] }), ["shops"]);
    await rig.groups.deleteDeviceGroup(create(DeleteDeviceGroupRequestSchema, { name: "tills" }), callOf("ann"));
    assert.deepEqual(await places({ "*": "rw" }), ["shops"], "tills has devices, and does not exist");
    for (let index = 0; index < 9; index++) await rig.createGroup(`g-${index}`, []);
    assert.deepEqual(
      await places({ "*": "rw" }),
      Array.from({ length: 8 }, (_, index) => `g-${index}`),
    );
  });

  it("the overview has pages of groups, each with the numbers of all", async () => {
    await using rig = await startFleet();
    for (const name of ["a", "z"]) await rig.createGroup(name, []);
    const names: string[] = [];
    for (let pageToken = ""; ; ) {
      const page = await rig.get({ pageSize: 1, pageToken });
      assert.deepEqual([page.groups.length, page.fleet?.deviceGroups, page.fleet?.states?.applied], [1, 4n, 2n]);
      names.push(...page.groups.map(({ deviceGroup }) => deviceGroup));
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    assert.deepEqual(names, ["a", "shops", "tills", "z"]);
  });

  it("the overview has a group that does not exist and has devices, which keep what they run", async () => {
    await using rig = await startFleet();
    await rig.groups.deleteDeviceGroup(create(DeleteDeviceGroupRequestSchema, { name: "tills" }), callOf("ann"));
    const [, tills] = (await rig.get()).groups;
    assert.deepEqual([tills?.revision, tills?.newestChange, numbers(tills?.states)], [0n, undefined, applied(1, 1)]);
  });

  it("the overview leaves out a group that neither exists nor has devices, though a device that moved left its name in the store", async () => {
    await using rig = await startFleetRig();
    for (const deviceGroup of ["old", "shops"]) await rig.online("x", deviceGroup);
    assert.ok((await rig.reportStore.groups({ after: "", limit: 10 })).includes("old"));
    const { fleet, groups } = await rig.get();
    assert.deepEqual([groups.map(({ deviceGroup }) => deviceGroup), fleet?.deviceGroups, fleet?.states?.waiting], [["shops", "tills"], 2n, 1n]);
    await assert.rejects(rig.get({ deviceGroups: ["old"] }), (error) => isNebulaError(error, "not_found"));
  });

  it("the overview has the changes of the last hour with the devices that each reached, and none of what was superseded", async () => {
    await using rig = await startFleet();
    await rig.audit("app", "pos", 0n, 1n, NOW_MS - 3_700_000);
    await rig.audit("app", "web", 0n, 1n);
    await rig.audit("device_group", "tills", 0n, 1n);
    await rig.audit("user", "ann", 0n, 1n);
    await rig.audit("app", "lonely", 0n, 1n);
    await rig.updateWeb();
    await rig.audit("app", "web", 1n, 2n);
    const seen = async (principal: Principal = ADMIN) => {
      const { recentChanges } = await rig.get({}, principal);
      assert.equal(recentChanges?.more, false);
      return recentChanges?.changes.map(({ change, states, superseded }) => {
        const about = `${change?.kind === TargetKind.APP ? "app" : "group"} ${change?.name} ${change?.revisionAfter} by ${change?.change?.by}`;
        return superseded ? `${about}: superseded` : `${about}: ${states === undefined ? "nowhere" : numbers(states)}`;
      });
    };
    assert.deepEqual(await seen(), [
      "app web 2 by bob: applied 0 failed 0 offline 1 working 0 waiting 4 never 0 online 4",
      "app lonely 1 by bob: nowhere",
      "group tills 1 by bob: applied 0 failed 0 offline 0 working 1 waiting 0 never 0 online 1",
      "app web 1 by bob: superseded",
    ]);
    const may = user({ apps: { web: "ro" }, deviceGroups: { tills: "ro" } });
    assert.deepEqual(await seen(may), [
      "app web 2 by bob: applied 0 failed 0 offline 0 working 0 waiting 1 never 0 online 1",
      "group tills 1 by bob: applied 0 failed 0 offline 0 working 1 waiting 0 never 0 online 1",
      "app web 1 by bob: superseded",
    ]);
    await rig.clock.advance(3_600_001);
    assert.deepEqual(await seen(), []);
  });

  it("the overview names the 50 newest changes, and says that there are more", async () => {
    await using rig = await startFleetRig();
    for (let revision = 1n; revision <= 51n; revision++) await rig.audit("app", "web", revision - 1n, revision);
    const { recentChanges } = await rig.get();
    assert.deepEqual([recentChanges?.changes.length, recentChanges?.more], [50, true]);
    assert.equal(recentChanges?.changes[0]?.change?.revisionAfter, 51n);
  });

  it("the overview is refused while the store does not answer, and is right again afterwards", async () => {
    await using rig = await startFleet();
    rig.failWith(new NebulaError("unavailable", "the store is away"));
    await assert.rejects(rig.get(), (error) => isNebulaError(error, "unavailable"));
    rig.failWith(undefined);
    await rig.clock.advance(1000);
    assert.equal((await rig.get()).fleet?.states?.applied, 2n);
  });
});
