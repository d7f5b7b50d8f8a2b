import { strict as assert } from "node:assert";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import { ConnectionState, DeviceConnectionSchema, DeviceSchema } from "../../gen/nebula/v1/device_pb.ts";
import { type Explanation, StuckAt, StuckAtSchema, type TargetExplanation } from "../../gen/nebula/v1/explain_pb.ts";
import { type AppStatusSchema, FailureCode, type ReportSchema, StepKind, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import type { StoredEntity } from "../storage/config-store.ts";
import { sampleReport } from "../testing/sample-report.ts";
import { failureAdvice } from "./advice.ts";
import { desiredEntity } from "./desired-revision.ts";
import { type ExplainInput, explain } from "./explain.ts";
import { PROBLEM_CODES } from "./problems.ts";

const NOW = Date.UTC(2026, 5, 1);
const MINUTE = 60_000;
const ETAG = "etag of the newest config";

function storedApp(init: MessageInitShape<typeof AppSchema>, about: Partial<StoredEntity> = {}): StoredEntity {
  const body = toBinary(AppSchema, create(AppSchema, { name: "web", dockerImage: "shop:1.5", ...init }));
  const base = { kind: "app", name: "web", revision: 42n, deleted: false, action: "update", changedAt: NOW - 12 * MINUTE, changedBy: "ci" } as const;
  return { ...base, ...about, body };
}

const BEFORE = storedApp({ dockerImage: "shop:1.4" }, { revision: 41n });
const WEB = desiredEntity(
  storedApp({ startingPorts: [{ hostPort: 80, containerPort: 8080 }] }),
  storedApp({ dockerImage: "shop:1.4", startingPorts: [{ hostPort: 80, containerPort: 8080 }] }, { revision: 41n }),
);
const GROUP = desiredEntity(
  {
    kind: "device_group",
    name: "pos",
    revision: 7n,
    deleted: false,
    action: "create",
    changedAt: NOW - 60 * MINUTE,
    changedBy: "ops",
    body: toBinary(DeviceGroupSchema, create(DeviceGroupSchema, { name: "pos", apps: ["web"] })),
  },
  undefined,
);
const ONLINE = create(DeviceConnectionSchema, { state: ConnectionState.ONLINE, since: timestampFromMs(NOW - 3 * 86_400_000), shard: "m-2" });
const OFFLINE = create(DeviceConnectionSchema, { state: ConnectionState.OFFLINE, since: timestampFromMs(NOW - 5 * MINUTE), shard: "m-2" });

type AppInit = Exclude<MessageInitShape<typeof AppStatusSchema>, { $typeName: string }>;
type ReportInit = Exclude<MessageInitShape<typeof ReportSchema>, { $typeName: string }>;

const APPLIED: AppInit = {
  name: "web",
  revision: 42n,
  appliedRevision: 42n,
  state: TargetState.APPLIED,
  containers: [{ name: "web-1", revision: 42n }],
};
const FAILED: AppInit = {
  ...APPLIED,
  appliedRevision: 41n,
  state: TargetState.FAILED,
  step: "ports",
  stepKind: StepKind.PORTS,
  failureCode: FailureCode.PORT_TAKEN,
  reason: 'host port 80 is held by container "nginx"',
  tries: 3,
  retryInMs: 90_000n,
  stateForMs: BigInt(10 * MINUTE),
};

/** A device whose newest report came a minute ago. */
function device(report: ReportInit = {}, more: { duplicateId?: boolean } = {}) {
  const fields = { deviceId: "pos-0117", deviceGroup: "pos", etag: ETAG, groupRevision: 7n, apps: [APPLIED], ...report };
  return create(DeviceSchema, { deviceId: "pos-0117", deviceGroup: "pos", report: sampleReport({ receivedMs: NOW - MINUTE, ...fields }), ...more });
}

function input(given: Partial<ExplainInput> = {}): ExplainInput {
  return {
    deviceId: "pos-0117",
    deviceGroup: "pos",
    group: GROUP,
    newest: { kind: "config", etag: ETAG, revisions: new Map([["app/web", 42n]]) },
    members: { app: ["web"], cron_job: [] },
    device: device(),
    connection: ONLINE,
    deliveredAt: undefined,
    targets: [{ kind: "app", name: "web", inGroup: true, desired: WEB }],
    hiddenTargets: 0,
    now: NOW,
    ...given,
  };
}

function target(explanation: Explanation): TargetExplanation {
  return explanation.targets[0] ?? assert.fail("no target");
}

const tombstone = desiredEntity(storedApp({}, { revision: 43n, deleted: true, action: "delete", changedAt: NOW - MINUTE }), BEFORE);
const stopped = desiredEntity(storedApp({ running: false }), BEFORE);
const asked = (desired: ExplainInput["targets"][number]["desired"], inGroup = true) => [{ kind: "app" as const, name: "web", inGroup, desired }];
const old = (state: AppInit) => ({ etag: "etag of the config before", apps: [{ ...state, revision: 41n, appliedRevision: 41n }] });

type Row = readonly [what: string, given: Partial<ExplainInput>, device: keyof typeof StuckAt, target: keyof typeof StuckAt, stuckForMs?: number];

const TABLE: readonly Row[] = [
  ["a device that runs the newest revision", {}, "NOWHERE", "NOWHERE"],
  ["one that runs it and is offline", { connection: OFFLINE }, "OFFLINE", "NOWHERE"],
  ["one that runs it, its connection not known", { connection: undefined }, "NOWHERE", "NOWHERE"],
  ["a group that was deleted", { newest: { kind: "no_such_group" }, members: { app: [], cron_job: [] } }, "NO_GROUP", "NO_GROUP", 60 * MINUTE],
  ["a group that never existed", { newest: { kind: "no_such_group" }, group: undefined }, "NO_GROUP", "NO_GROUP"],
  ["an app that the group does not name", { targets: asked(WEB, false), device: device({ apps: [] }) }, "NOWHERE", "NOT_IN_GROUP"],
  [
    "an app that left the group and is gone",
    { targets: asked(WEB, false), device: device({ apps: [{ ...APPLIED, containers: [] }] }) },
    "NOWHERE",
    "NOT_IN_GROUP",
  ],
  [
    "an app that left the group and is being removed",
    { targets: asked(WEB, false), device: device({ apps: [{ ...FAILED, state: TargetState.WORKING }] }) },
    "NOWHERE",
    "WORKING",
    11 * MINUTE,
  ],
  [
    "an app that left the group and cannot be removed",
    { targets: asked(WEB, false), device: device({ apps: [FAILED] }) },
    "NOWHERE",
    "STEP",
    11 * MINUTE,
  ],
  [
    "an app that left the group of a device that does not know it yet",
    { targets: asked(WEB, false), device: device(old(APPLIED)), connection: OFFLINE },
    "OFFLINE",
    "OFFLINE",
    5 * MINUTE,
  ],
  [
    "a tombstone whose containers are gone",
    { targets: asked(tombstone), device: device({ apps: [{ ...APPLIED, revision: 43n, appliedRevision: 43n, containers: [] }] }) },
    "NOWHERE",
    "NO_TARGET",
    MINUTE,
  ],
  [
    "a tombstone whose containers are there",
    {
      targets: asked(tombstone),
      device: device({ apps: [{ ...APPLIED, revision: 43n, state: TargetState.WORKING, stepKind: StepKind.STOP, stateForMs: 0n }] }),
    },
    "NOWHERE",
    "WORKING",
    MINUTE,
  ],
  [
    "a member that never existed",
    { targets: asked(undefined), device: device({ apps: [{ name: "web", state: TargetState.APPLIED }] }) },
    "NOWHERE",
    "NO_TARGET",
  ],
  [
    "a config that cannot be made",
    { newest: { kind: "fault", reason: "a value can't be opened" }, device: device(old(APPLIED)) },
    "CONFIG",
    "CONFIG",
  ],
  ["a device that only has a token", { device: undefined, connection: undefined }, "NEVER_CONNECTED", "NEVER_CONNECTED"],
  ["a device that is connected and never reported", { device: undefined }, "NEVER_REPORTED", "NEVER_REPORTED", 3 * 86_400_000],
  ["a device that connected once and never reported", { device: undefined, connection: OFFLINE }, "OFFLINE", "OFFLINE", 5 * MINUTE],
  ["an offline device with an older revision", { device: device(old(APPLIED)), connection: OFFLINE }, "OFFLINE", "OFFLINE", 5 * MINUTE],
  ["a connected device that has not answered", { device: device(old(APPLIED)) }, "DELIVERY", "DELIVERY", 12 * MINUTE],
  ["one that failed at the revision before, and has not answered this one", { device: device(old(FAILED)) }, "DELIVERY", "DELIVERY", 12 * MINUTE],
  [
    "an engine that does not answer",
    { device: device({ apps: [FAILED], problems: [{ code: "engine_unreachable", message: "no answer" }] }) },
    "DEVICE",
    "DEVICE",
  ],
  ["a problem that does not block", { device: device({ apps: [FAILED], problems: [{ code: "prune_failed" }] }) }, "NOWHERE", "STEP", 11 * MINUTE],
  [
    "a device that has the config and has not looked yet",
    { device: device({ apps: [{ ...APPLIED, revision: 41n, appliedRevision: 41n }] }) },
    "NOWHERE",
    "WORKING",
  ],
  [
    "a device that pulls",
    {
      device: device({
        apps: [{ ...APPLIED, appliedRevision: 41n, state: TargetState.WORKING, step: "pull", stepKind: StepKind.PULL, stateForMs: 4000n }],
      }),
    },
    "NOWHERE",
    "WORKING",
    MINUTE + 4000,
  ],
  ["a step that failed", { device: device({ apps: [FAILED] }) }, "NOWHERE", "STEP", 11 * MINUTE],
  [
    "a step that failed before the device went offline",
    { device: device({ apps: [FAILED] }), connection: { ...OFFLINE, since: timestampFromMs(NOW - MINUTE / 2) } },
    "OFFLINE",
    "STEP",
    10.5 * MINUTE,
  ],
  [
    "a step that failed, of a device whose last report came in after its watch ended",
    { device: device({ apps: [FAILED] }), connection: OFFLINE },
    "OFFLINE",
    "STEP",
    10 * MINUTE,
  ],
  [
    "a container that ended again and again before the device went offline for hours",
    {
      device: device({ apps: [{ ...FAILED, appliedRevision: 42n, failureCode: FailureCode.EXITS }] }),
      connection: { ...OFFLINE, since: timestampFromMs(NOW - MINUTE) },
      now: NOW + 300 * MINUTE,
    },
    "OFFLINE",
    "CONTAINERS",
    10 * MINUTE,
  ],
  [
    "a failure that an older worker reports, without a code and times",
    { device: device({ apps: [{ ...APPLIED, appliedRevision: 41n, state: TargetState.FAILED, reason: "no" }] }) },
    "NOWHERE",
    "STEP",
  ],
  [
    "a container that ends again and again after it was applied",
    { device: device({ apps: [{ ...FAILED, appliedRevision: 42n, failureCode: FailureCode.EXITS }] }) },
    "NOWHERE",
    "CONTAINERS",
    11 * MINUTE,
  ],
  ["a stopped app without containers", { targets: asked(stopped), device: device({ apps: [{ ...APPLIED, containers: [] }] }) }, "NOWHERE", "NOWHERE"],
  ["a stopped app whose containers are there", { targets: asked(stopped), device: device({ apps: [APPLIED] }) }, "NOWHERE", "WORKING"],
  ["a worker of the original with the newest revision", { device: device({ boot: "v2", etag: "", instance: "" }) }, "NOWHERE", "NOWHERE"],
  ["a worker of the original with an older one", { device: device({ boot: "v2", ...old(APPLIED), etag: "" }) }, "DELIVERY", "DELIVERY", 12 * MINUTE],
  [
    "a worker of the original with too few containers",
    { device: device({ boot: "v2", etag: "", apps: [{ ...APPLIED, state: TargetState.FAILED, reason: "0 of 1" }] }) },
    "NOWHERE",
    "CONTAINERS",
  ],
];

describe("the explanation of a device", () => {
  for (const [what, given, place, ofTarget, stuckForMs] of TABLE) {
    it(`the explanation of ${what} has it stuck at ${ofTarget}, and the device at ${place}`, () => {
      const explanation = explain(input(given));
      const web = target(explanation);
      const name = (at: StuckAt) => StuckAtSchema.value[at]?.localName;
      assert.deepEqual([name(explanation.stuckAt), name(web.stuckAt)], [place, ofTarget]);
      assert.equal(web.stuckForMs, stuckForMs === undefined ? undefined : BigInt(stuckForMs));
      assert.equal(web.advice.length > 0, ofTarget !== "NOWHERE" || web.desired?.running === false);
      assert.equal(explanation.advice.length > 0, place !== "NOWHERE");
    });
  }

  it("the table of places has every place", () => {
    const reached = new Set(TABLE.flatMap(([, , ofDevice, ofTarget]) => [ofDevice, ofTarget]));
    const all = StuckAtSchema.values.map(({ localName }) => localName).filter((name) => name !== "UNSPECIFIED");
    assert.deepEqual([...reached].sort(), all.sort());
  });

  it("every code of a failure is explained with its advice", () => {
    for (const [name, code] of Object.entries(FailureCode)) {
      const state = code === FailureCode.IMAGE_STALE || code === FailureCode.PAUSED ? TargetState.WORKING : TargetState.FAILED;
      const web = target(explain(input({ device: device({ apps: [{ ...FAILED, state, failureCode: code }] }) })));
      const subject = {
        deviceId: "pos-0117",
        deviceGroup: "pos",
        kind: "app",
        name: "web",
        image: "shop:1.5",
        container: "web-1",
        containerPort: 8080,
        otherMembers: [],
      } as const;
      assert.deepEqual(
        web.advice.map(({ text, command }) => ({ text, command })),
        failureAdvice(code, subject),
        name,
      );
      assert.equal(web.failureCode, code);
    }
  });

  it("every problem of a device is explained with its advice, and only those that block hold its apps up", () => {
    for (const code of [...PROBLEM_CODES, "of a newer worker"]) {
      const { problems, stuckAt } = explain(input({ device: device({ problems: [{ code, message: "why" }] }) }));
      assert.deepEqual([problems[0]?.problem?.code, problems[0]?.blocking], [code, stuckAt === StuckAt.DEVICE]);
      assert.ok((problems[0]?.advice.length ?? 0) > 0, code);
    }
    assert.equal(explain(input({ device: device({}, { duplicateId: true }) })).problems[0]?.problem?.code, "duplicate_id");
  });

  it("a wait goes on by the servers' clocks, and never below nothing", () => {
    assert.equal(target(explain(input({ device: device({ apps: [FAILED] }) }))).retryInMs, 30_000n);
    assert.equal(target(explain(input({ device: device({ apps: [FAILED] }), now: NOW + 60 * MINUTE }))).retryInMs, 0n);
  });

  it("the clock of a device changes nothing in its explanation", () => {
    fc.assert(
      fc.property(fc.constantFrom(...TABLE), fc.integer({ min: 0, max: 4_000_000_000 }), ([, given], seconds) => {
        const whole = input(given);
        const { device: known } = whole;
        if (known?.report === undefined) return;
        const report = { ...known.report, createdAt: timestampFromMs(seconds * 1000), startedAt: timestampFromMs(seconds * 1000) };
        assert.deepEqual(explain({ ...whole, device: { ...known, report } }), explain(whole));
      }),
    );
  });

  it("a revision is explained with what it changed: who, when, from which one, and no secret value", () => {
    const secret = (value: string) => ({ dockerImage: "shop:1.5", secretEnvVars: { KEY: value }, envVars: { LONG: value.repeat(100) } });
    const { revision } = desiredEntity(storedApp(secret("hunter2")), storedApp(secret("hunter1"), { revision: 41n }));
    assert.deepEqual([revision.revision, revision.fromRevision, revision.lastChange?.by], [42n, 41n, "ci"]);
    assert.equal(revision.lastChange?.at && timestampMs(revision.lastChange.at), NOW - 12 * MINUTE);
    assert.deepEqual(
      revision.changes.map(({ field }) => field),
      ["env_vars"],
      "two values that are not sealed have one display",
    );
    assert.ok(revision.changes.every(({ lines }) => lines.every((line) => line.length <= 200)));
    assert.deepEqual(
      target(explain(input())).desired?.changes.map(({ field, lines }) => [field, lines]),
      [["docker_image", ["shop:1.4 -> shop:1.5"]]],
    );
  });

  it("targets that are stuck come first, and at most 100 are explained", () => {
    const names = Array.from({ length: 130 }, (_, index) => `app-${index}`);
    const apps = names.map((name, index) => (index < 125 ? { ...APPLIED, name } : { ...FAILED, name }));
    const targets = names.map((name) => ({ kind: "app" as const, name, inGroup: true, desired: WEB }));
    const explanation = explain(input({ targets, device: device({ apps }), hiddenTargets: 3 }));
    assert.deepEqual(
      explanation.targets.slice(0, 6).map(({ name }) => name),
      ["app-125", "app-126", "app-127", "app-128", "app-129", "app-0"],
    );
    assert.deepEqual([explanation.targets.length, explanation.moreTargets, explanation.hiddenTargets], [100, 30, 3]);
  });

  it("a cron_job is explained as an app is: a run that failed leaves its schedule applied", () => {
    const body = toBinary(CronJobSchema, create(CronJobSchema, { name: "backup", dockerImage: "backup:1", schedule: "@daily" }));
    const desired = desiredEntity(
      { kind: "cron_job", name: "backup", revision: 2n, deleted: false, action: "create", changedAt: NOW, changedBy: "ci", body },
      undefined,
    );
    const cronJobs = [
      {
        name: "backup",
        revision: 2n,
        appliedRevision: 2n,
        state: TargetState.FAILED,
        failureCode: FailureCode.RUN_FAILED,
        stepKind: StepKind.RUN,
        reason: "exit code 3",
      },
    ];
    const explanation = explain(input({ targets: [{ kind: "cron_job", name: "backup", inGroup: true, desired }], device: device({ cronJobs }) }));
    assert.deepEqual([target(explanation).stuckAt, target(explanation).step], [StuckAt.CONTAINERS, "run"]);
  });
});
