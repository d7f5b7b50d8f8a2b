import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { planText } from "../../../common/insight/text/plan-text.ts";
import { ConnectionState, TargetKind } from "../../../gen/nebula/v1/device_pb.ts";
import { DeviceStepKind, PlannedKind, PlanResponseSchema, PlanWarningCode } from "../../../gen/nebula/v1/plan_pb.ts";
import { planJson } from "./plan-view.ts";

const NOW = Date.UTC(2026, 0, 10);
const REACH = { devices: 1204, connected: 1198, offline: 6, neverCame: 3, unforeseen: 0, idle: 0 };

const PLAN = create(PlanResponseSchema, {
  id: "7f31c2a04b8d5e11",
  changesAnything: true,
  entities: [
    {
      kind: PlannedKind.APP,
      name: "web",
      revisionBefore: 41n,
      revisionAfter: 42n,
      existsBefore: true,
      existsAfter: true,
      differences: [
        { field: "docker_image", beforeJson: '"shop:1.4"', afterJson: '"shop:1.5"' },
        { field: "env_vars", afterJson: '{"REGION":"eu"}' },
        { field: "secret_env_vars", beforeJson: '{"TOKEN":"secret:1a2b3c4d"}', afterJson: '{"TOKEN":"(a value)"}' },
      ],
    },
    { kind: PlannedKind.DEVICE_GROUP, name: "pos", revisionBefore: 7n, revisionAfter: 7n, existsBefore: true, existsAfter: true },
  ],
  groups: [{ name: "pos", revision: 7n, reach: REACH }],
  groupCount: 1,
  reach: REACH,
  steps: [
    { step: DeviceStepKind.RECREATE, containers: 1, devices: 1204 },
    { step: DeviceStepKind.PULL, image: "docker.io/library/shop:1.5", devices: 1204 },
  ],
  devices: [
    {
      deviceId: "pos-0001",
      deviceGroup: "pos",
      connection: { state: ConnectionState.ONLINE },
      steps: [
        { kind: TargetKind.APP, name: "web", step: DeviceStepKind.RECREATE, containers: 1 },
        { kind: TargetKind.APP, name: "web", step: DeviceStepKind.PULL, image: "docker.io/library/shop:1.5" },
      ],
    },
  ],
  behind: [
    { deviceId: "pos-0031", deviceGroup: "pos", kind: TargetKind.APP, name: "web", revision: 41n, state: "failed", reason: "no space left" },
    {
      deviceId: "pos-0040",
      deviceGroup: "pos",
      kind: TargetKind.APP,
      name: "web",
      revision: 41n,
      state: "offline",
      offlineSince: timestampFromMs(NOW - 3 * 86_400_000),
    },
    { deviceId: "pos-0077", deviceGroup: "pos", kind: TargetKind.APP, name: "web", revision: 41n, state: "working" },
  ],
  behindCount: 3,
  warnings: [
    { code: PlanWarningCode.DISK_FULL, message: "2 devices have less free disk than the image takes now", devices: 2 },
    { code: PlanWarningCode.PORT_SHARED, message: "device_group pos: apps api and web both claim host port 80/tcp; api comes first and gets it" },
  ],
  read: [
    { kind: PlannedKind.APP, name: "web", revision: 41n, changedBy: "ci", changedAt: timestampFromMs(NOW - 60_000) },
    { kind: PlannedKind.DEVICE_GROUP, name: "pos", revision: 7n, changedBy: "admin", changedAt: timestampFromMs(NOW - 120_000) },
  ],
});

const TEXT = `app web           docker_image     shop:1.4 -> shop:1.5            revision 41 -> 42
                  env_vars         + REGION=eu
                  secret_env_vars  TOKEN: secret:1a2b3c4d -> (a value)
device_group pos  unchanged
reaches 1204 devices in 1 device_group (1198 connected, 6 offline, and 3 enrolled that never came)
1204 re-create 1 container, 1204 pull shop:1.5; 2 have less free disk than the image takes now
warning: device_group pos: apps api and web both claim host port 80/tcp; api comes first and gets it
3 devices do not run revision 41 yet: pos-0031 (failed: no space left), pos-0040 (offline 3 d), pos-0077 (working)
`;

const JSON_OF_PLAN = {
  plan: "7f31c2a04b8d5e11-mk7jf5pc",
  changes_anything: true,
  entities: [
    {
      kind: "app",
      name: "web",
      result: "updated",
      revision_before: 41,
      revision: 42,
      changes: [
        { field: "docker_image", before: "shop:1.4", after: "shop:1.5" },
        { field: "env_vars", before: null, after: { REGION: "eu" } },
        { field: "secret_env_vars", before: { TOKEN: "secret:1a2b3c4d" }, after: { TOKEN: "(a value)" } },
      ],
    },
    { kind: "device_group", name: "pos", result: "unchanged", revision_before: 7, revision: 7, changes: [] },
  ],
  reach: { devices: 1204, connected: 1198, offline: 6, never_came: 3, unforeseen: 0, idle: 0 },
  device_groups: [{ name: "pos", revision: 7, reach: { devices: 1204, connected: 1198, offline: 6, never_came: 3, unforeseen: 0, idle: 0 } }],
  device_group_count: 1,
  hidden_device_groups: 0,
  steps: [
    { step: "recreate", containers: 1, devices: 1204 },
    { step: "pull", image: "docker.io/library/shop:1.5", devices: 1204 },
  ],
  devices: [
    {
      device_id: "pos-0001",
      device_group: "pos",
      connection: "online",
      steps: [
        { kind: "app", name: "web", step: "recreate", containers: 1 },
        { kind: "app", name: "web", step: "pull", image: "docker.io/library/shop:1.5" },
      ],
    },
  ],
  behind_count: 3,
  behind: [
    { device_id: "pos-0031", device_group: "pos", kind: "app", name: "web", revision: 41, state: "failed", reason: "no space left" },
    {
      device_id: "pos-0040",
      device_group: "pos",
      kind: "app",
      name: "web",
      revision: 41,
      state: "offline",
      offline_since: "2026-01-07T00:00:00.000Z",
    },
    { device_id: "pos-0077", device_group: "pos", kind: "app", name: "web", revision: 41, state: "working" },
  ],
  warnings: [
    { code: "disk_full", message: "2 devices have less free disk than the image takes now", devices: 2 },
    { code: "port_shared", message: "device_group pos: apps api and web both claim host port 80/tcp; api comes first and gets it" },
  ],
  read: [
    { kind: "app", name: "web", revision: 41, changed_by: "ci", changed_at: "2026-01-09T23:59:00.000Z" },
    { kind: "device_group", name: "pos", revision: 7, changed_by: "admin", changed_at: "2026-01-09T23:58:00.000Z" },
  ],
};

describe("the view of a plan", () => {
  it("a plan is shown with its differences, its reach, the steps of its devices and who is behind", () => {
    assert.equal(planText(PLAN, NOW), TEXT);
  });

  it("a plan as JSON has words in place of enums, and values as resource files have them", () => {
    assert.deepEqual(planJson(PLAN), JSON_OF_PLAN);
  });

  it("a plan counts the device_groups that the caller may not see, and what can't be foreseen", () => {
    const plan = create(PlanResponseSchema, {
      changesAnything: true,
      entities: [{ kind: PlannedKind.APP, name: "web", revisionBefore: 3n, revisionAfter: 4n, existsBefore: true }],
      groupCount: 2,
      hiddenGroups: 3,
      reach: { devices: 5, unforeseen: 1, idle: 2 },
      steps: [{ step: DeviceStepKind.REMOVE, containers: 2, devices: 2 }],
    });
    assert.equal(
      planText(plan, NOW),
      `app web  deleted                           revision 3 -> 4
reaches 5 devices in 2 device_groups, and 3 device_groups you may not see
2 remove 2 containers
2 devices have nothing to do
1 device whose steps can't be foreseen: no report yet, a worker of the original, or one that stands still
`,
    );
  });

  it("a plan escapes what devices and users wrote", () => {
    const plan = create(PlanResponseSchema, {
      changesAnything: true,
      groupCount: 1,
      reach: { devices: 1 },
      behindCount: 1,
      behind: [{ deviceId: "a\u001b[31m", name: "web", revision: 1n, state: "failed", reason: "red\u0007\nline" }],
    });
    const text = planText(plan, NOW);
    assert.ok(!text.includes("\u001b") && !text.includes("\u0007"), JSON.stringify(text));
    assert.equal(text.split("\n").length, 3);
  });
});
