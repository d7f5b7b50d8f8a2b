import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { TargetKind } from "../../../../../gen/nebula/v1/device_pb.ts";
import { GetOverviewResponseSchema } from "../../../../../gen/nebula/v1/fleet_pb.ts";
import { RollbackResponseSchema } from "../../../../../gen/nebula/v1/history_pb.ts";
import { PlanResponseSchema } from "../../../../../gen/nebula/v1/plan_pb.ts";
import { plannedEntity } from "../../data/planned-entity.ts";
import { placesOf, rollbackLine, rollbackPlanText, secretsChoice, totalOf, uncountedText, verbLine } from "./app-model.ts";

describe("what the view of an app shows", () => {
  it("an app runs in the groups that have it as an app, and their devices add up", () => {
    const member = (kind: TargetKind, name: string, applied: bigint, failed = 0n) => ({ newest: { kind, name }, states: { applied, failed } });
    const overview = create(GetOverviewResponseSchema, {
      groups: [
        { deviceGroup: "kiosks", members: [member(TargetKind.APP, "web", 2n, 1n)] },
        { deviceGroup: "none", members: [member(TargetKind.CRON_JOB, "web", 9n), member(TargetKind.APP, "webs", 9n)] },
        { deviceGroup: "pos", members: [member(TargetKind.APP, "web", 4n)] },
        { deviceGroup: "vast", members: [member(TargetKind.APP, "web", 0n)], uncounted: true },
      ],
    });
    const places = placesOf("web", overview);
    assert.deepEqual(
      places.map(({ group, to, devices }) => [group, to, devices]),
      [
        ["kiosks", "/ui/groups/kiosks", 3n],
        ["pos", "/ui/groups/pos", 4n],
        ["vast", "/ui/groups/vast", undefined],
      ],
    );
    assert.deepEqual(
      places.map(({ states }) => states.find(({ state }) => state === "failed")?.to),
      ["/ui/devices?group=kiosks&target=app%2Fweb&standing=failed", "/ui/devices?group=pos&target=app%2Fweb&standing=failed", undefined],
    );
    const linked = totalOf("web", places.slice(0, 2)).find(({ state }) => state === "failed");
    assert.deepEqual([linked?.count, linked?.to], [1n, "/ui/devices?target=app%2Fweb&standing=failed"]);
    assert.ok(
      totalOf("web", places).every(({ to }) => to === undefined),
      "one place is not counted",
    );
    const total = Object.fromEntries(totalOf("web", places).map(({ state, count }) => [state, count]));
    assert.deepEqual([total.applied, total.failed, total.offline], [6n, 1n, 0n]);
    assert.equal(uncountedText(places), "1 of the groups was not counted, for lack of room: their devices are in no number.");
    assert.equal(uncountedText(places.slice(0, 2)), undefined);
  });

  it("lines of nebulactl do what was planned, at the revision that was planned", () => {
    const plan = create(PlanResponseSchema, { entities: [{ name: "web", revisionBefore: 4n, revisionAfter: 5n }] });
    assert.equal(verbLine("restart", "web", plannedEntity(plan).revisionBefore), "nebulactl apps restart web --if-revision 4");
    assert.equal(rollbackLine("web", 2n, false), "nebulactl rollback app/web --to 2");
    assert.equal(rollbackLine("web", 2n, true), "nebulactl rollback app/web --to 2 --secrets");
    assert.throws(() => plannedEntity(create(PlanResponseSchema, {})), /^Error: a plan without what it is about$/);
  });

  it("a rollback has the choice to bring secret values back where the older body has others, and keeps it once it was chosen", () => {
    const choice = (keptSecrets: string[], secrets: boolean) => secretsChoice(create(RollbackResponseSchema, { keptSecrets }), secrets) !== undefined;
    assert.deepEqual([choice([], false), choice(["TOKEN"], false), choice([], true)], [false, true, true]);
  });

  it("a rollback is shown field by field, and then by what devices do", () => {
    const differences = [{ field: "docker_image", beforeJson: '"shop:2"', afterJson: '"shop:1"' }];
    const planned = create(RollbackResponseSchema, { revisionBefore: 4n, revision: 5n, to: 2n, differences });
    const plan = create(PlanResponseSchema, { changesAnything: true, groupCount: 1, reach: { devices: 3, connected: 3 } });
    const own = "app web  would be rolled back 4 -> 5, as revision 2 was\n    docker_image  shop:2 -> shop:1\n";
    assert.equal(rollbackPlanText("web", planned, plan, 0), `${own}reaches 3 devices in 1 device_group (3 connected, 0 offline)\n`);
    assert.equal(rollbackPlanText("web", planned, undefined, 0), own);
  });
});
