import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { DeviceGroupSchema } from "../../../../../gen/nebula/v1/device_group_pb.ts";
import { PlanResponseSchema } from "../../../../../gen/nebula/v1/plan_pb.ts";
import { draftOf, groupLine, nameProblem, plannedGroup, staleText, withMoved, without, withTyped } from "./group-draft.ts";

const POS = create(DeviceGroupSchema, { name: "pos", revision: 4n, apps: ["web", "api", "till"], cronJobs: ["nightly"], spread: 3 });
const KNOWN = { names: ["web", "kiosk"], isComplete: true };

describe("a device_group that is edited", () => {
  it("members move as far as there are places, and keep the others in their order", () => {
    const { apps } = draftOf(POS);
    assert.deepEqual(withMoved(apps, "till", -1).names, ["web", "till", "api"]);
    assert.deepEqual(withMoved(apps, "web", 2).names, ["api", "till", "web"]);
    assert.deepEqual(withMoved(apps, "web", -1).names, ["web", "api", "till"]);
    assert.deepEqual(withMoved(apps, "nope", 1).names, ["web", "api", "till"]);
    assert.deepEqual(without(apps, "api").names, ["web", "till"]);
  });

  it("a name that is typed is added once, if it is valid and exists as far as that is known", () => {
    const typed = (text: string, known?: typeof KNOWN) => withTyped({ ...draftOf(POS).apps, typed: text }, "app", known);
    assert.deepEqual(typed(" kiosk ", KNOWN), { names: ["web", "api", "till", "kiosk"], typed: "", problem: "" });
    assert.deepEqual(typed("  ", KNOWN), { names: ["web", "api", "till"], typed: "", problem: "" });
    assert.deepEqual(typed("web", KNOWN), { names: ["web", "api", "till"], typed: "web", problem: "app web is in the list already" });
    assert.equal(typed("nope", KNOWN).problem, "there is no app nope that you may see");
    assert.equal(typed("nope", { ...KNOWN, isComplete: false }).problem, "");
    assert.equal(typed("nope").names.at(-1), "nope", "the plan says whether it exists");
    assert.match(typed("no name", KNOWN).problem, /^invalid name "no name"; use a letter/);
    const full = { names: Array.from({ length: 1000 }, (_, index) => `a-${index}`), typed: "web", problem: "" };
    assert.equal(withTyped(full, "app", KNOWN).problem, "a device_group has at most 1000 apps");
  });

  it("a name is refused in the words of the API", () => {
    assert.equal(nameProblem("pos"), "");
    assert.match(nameProblem(""), /^is missing; use a letter/);
    assert.match(nameProblem("\u202epos"), /^invalid name "\\u202epos"/);
  });

  it("the whole device_group is planned, and what the form does not have stays", () => {
    const draft = { ...draftOf(POS), apps: without(draftOf(POS).apps, "web") };
    assert.deepEqual(plannedGroup(draft, POS), { name: "pos", apps: ["api", "till"], cronJobs: ["nightly"], spread: 3 });
    assert.deepEqual(plannedGroup(draftOf(undefined), undefined), { name: "", apps: [], cronJobs: [], spread: 0 });
  });

  it("the line of nebulactl has the fields that differ, and the revision that the form began with", () => {
    const draft = draftOf(POS);
    const swapped = { ...draft, apps: withMoved(draft.apps, "api", -1) };
    assert.equal(groupLine(swapped, POS), "nebulactl device-groups update pos --apps api,web,till --if-revision 4");
    const emptied = { ...draft, cronJobs: without(draft.cronJobs, "nightly") };
    assert.equal(groupLine(emptied, POS), "nebulactl device-groups update pos --cron-jobs= --if-revision 4");
    const created = { ...draft, name: "pos" };
    assert.equal(groupLine(created, undefined), "nebulactl device-groups create pos --apps web,api,till --cron-jobs nightly");
    assert.equal(groupLine({ ...draftOf(undefined), name: "bare" }, undefined), "nebulactl device-groups create bare");
  });

  it("a plan that is not of what the form began with is not offered to be applied", () => {
    const plan = (existsBefore: boolean, revisionBefore: bigint) =>
      create(PlanResponseSchema, { entities: [{ name: "pos", existsBefore, revisionBefore }] });
    assert.equal(staleText(plan(true, 4n), "pos", POS), undefined);
    assert.match(staleText(plan(true, 5n), "pos", POS) ?? "", /it is at revision 5, and this form began with revision 4/);
    assert.equal(staleText(plan(false, 5n), "pos", POS), "device_group pos was deleted meanwhile.");
    assert.match(staleText(plan(true, 4n), "pos", undefined) ?? "", /exists already, at revision 4/);
    assert.equal(staleText(plan(false, 4n), "pos", undefined), undefined, "a deleted name is created again");
    assert.throws(() => staleText(create(PlanResponseSchema), "pos", POS));
  });
});
