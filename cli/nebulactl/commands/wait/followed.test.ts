import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import type { Resource } from "../../../../common/resources/resource.ts";
import { AppSchema } from "../../../../gen/nebula/v1/app_pb.ts";
import { ApplyVerb } from "../../../../gen/nebula/v1/apply_pb.ts";
import { DeviceGroupSchema } from "../../../../gen/nebula/v1/device_group_pb.ts";
import { TargetKind } from "../../../../gen/nebula/v1/device_pb.ts";
import { followedWrite } from "./followed.ts";

const group = (revision: bigint, apps: string[], cronJobs: string[] = []): Resource => ({
  kind: "device_group",
  deviceGroup: create(DeviceGroupSchema, { name: "pos", revision, apps, cronJobs }),
});
const app = (revision: bigint, running = true): Resource => ({ kind: "app", app: create(AppSchema, { name: "web", revision, running }) });

const [WEB, API] = ["web", "api"].map((name) => ({ kind: TargetKind.APP, name }));
const JOB = { kind: TargetKind.CRON_JOB, name: "job" };
const POS = { kind: TargetKind.DEVICE_GROUP, name: "pos", verb: ApplyVerb.UPDATE };

describe("what --wait follows after a write", () => {
  it("of a device_group that changed, --wait follows the members that it gained and lost", () => {
    const followed = followedWrite(group(6n, ["web"], ["job"]), group(7n, ["web", "api"]));
    assert.deepEqual(followed, [{ ...POS, revision: 7n, before: 6n, added: [API], removed: [JOB] }]);
    assert.deepEqual(followedWrite(undefined, group(1n, ["web"])), [{ ...POS, revision: 1n, added: [WEB], removed: [] }]);
  });

  it("of a device_group in which nothing differed, --wait follows all members", () => {
    const same = group(7n, ["web", "api"], ["job"]);
    assert.deepEqual(followedWrite(same, same), [{ ...POS, revision: 7n, before: 7n, added: [WEB, API, JOB], removed: [] }]);
  });

  it("of an app in which nothing differed, --wait follows the present revision, and of a stopped one that it stops", () => {
    for (const [running, verb] of [
      [true, ApplyVerb.UPDATE],
      [false, ApplyVerb.STOP],
    ] as const) {
      assert.deepEqual(followedWrite(app(3n, running), app(3n, running)), [{ kind: TargetKind.APP, name: "web", revision: 3n, before: 3n, verb }]);
    }
  });
});
