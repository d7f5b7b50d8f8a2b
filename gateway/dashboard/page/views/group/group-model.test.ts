import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { TargetKind } from "../../../../../gen/nebula/v1/device_pb.ts";
import { GetOverviewResponseSchema, GroupOverviewSchema } from "../../../../../gen/nebula/v1/fleet_pb.ts";
import { RevisionAction } from "../../../../../gen/nebula/v1/history_pb.ts";
import { memberLines, overviewOf } from "./group-model.ts";

const newest = { kind: TargetKind.APP, name: "web", revision: 7n, action: RevisionAction.UPDATE, change: { by: "ann", at: timestampFromMs(5000) } };

describe("what the view of a device_group shows", () => {
  it("members stand in the order of the group, each with its newest revision and its devices by state", () => {
    const overview = create(GroupOverviewSchema, {
      deviceGroup: "pos",
      members: [
        { newest: { ...newest, kind: TargetKind.CRON_JOB, name: "web", revision: 2n, action: RevisionAction.DELETE }, states: {} },
        { newest, states: { applied: 3n, failed: 1n } },
      ],
    });
    const lines = memberLines({ name: "pos", apps: ["till", "web"], cronJobs: ["web"] }, overview);
    assert.deepEqual(
      lines.map(({ place, kind, name, revision, isDeleted }) => [place, kind, name, revision, isDeleted]),
      [
        [1, "app", "till", 0n, false], // the caller may not read it
        [2, "app", "web", 7n, false],
        [3, "cron_job", "web", 2n, true],
      ],
    );
    assert.deepEqual(
      lines.map(({ to }) => to),
      ["/ui/apps/till", "/ui/apps/web", undefined],
    );
    assert.deepEqual([lines[1]?.by, lines[1]?.at, lines[1]?.action], ["ann", 5000, "update"]);
    assert.deepEqual(
      lines[1]?.states?.filter(({ count }) => count > 0n).map(({ state, count, to }) => [state, count, to]),
      [
        ["applied", 3n, "/ui/groups/pos?target=app%2Fweb&standing=applied"],
        ["failed", 1n, "/ui/groups/pos?target=app%2Fweb&standing=failed"],
      ],
    );
  });

  it("the members of a group that was not counted have no numbers", () => {
    const overview = create(GroupOverviewSchema, { deviceGroup: "pos", members: [{ newest, states: {} }], uncounted: true });
    assert.deepEqual(
      memberLines({ name: "pos", apps: ["web"], cronJobs: [] }, overview).map(({ revision, states }) => [revision, states]),
      [[7n, undefined]],
    );
  });

  it("an overview of one group is that of its name, and of another one nothing", () => {
    const answer = create(GetOverviewResponseSchema, { groups: [{ deviceGroup: "pos", revision: 2n }] });
    assert.equal(overviewOf("pos", answer)?.revision, 2n);
    assert.equal(overviewOf("other", answer), undefined);
  });
});
