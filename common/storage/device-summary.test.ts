import { strict as assert } from "node:assert";
import { type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type DeviceSummary, DeviceSummarySchema, TargetKind } from "../../gen/nebula/v1/device_pb.ts";
import {
  type AppStatusSchema,
  ContainerHealth,
  ContainerState,
  type ContainerStatusSchema,
  type CronJobStatusSchema,
  FailureCode,
  type ReportSchema,
  StepKind,
  TargetState,
} from "../../gen/nebula/v1/report_pb.ts";
import { SAMPLE_TIME_MS, sampleReport } from "../testing/sample-report.ts";
import { statusRow } from "../testing/save-reports.ts";
import { DUPLICATE_ID, encodedSummary, summaryOf } from "./device-summary.ts";
import { markerOf } from "./report-store.ts";

type Container = Exclude<MessageInitShape<typeof ContainerStatusSchema>, { $typeName: string }>;
type App = Exclude<MessageInitShape<typeof AppStatusSchema>, { $typeName: string }>;
type CronJob = Exclude<MessageInitShape<typeof CronJobStatusSchema>, { $typeName: string }>;

const IMAGE = `sha256:${"0123456789abcdef".repeat(4)}`;
const container = (name: string, fields: Container = {}): Container => ({
  name,
  revision: 42n,
  state: ContainerState.RUNNING,
  imageId: IMAGE,
  ...fields,
});
const app = (fields: App = {}): App => ({ name: "web", revision: 42n, appliedRevision: 42n, state: TargetState.APPLIED, ...fields });

function summary(fields: Exclude<MessageInitShape<typeof ReportSchema>, { $typeName: string }>): DeviceSummary {
  return summaryOf(statusRow(sampleReport(fields), 7n)) ?? assert.fail("there is no summary");
}

function target(fields: App) {
  return summary({ apps: [app(fields)] }).targets[0] ?? assert.fail("there is no target");
}

/** `well/wanted` of an app. */
function containersOf(fields: App): string {
  const { containers, containersWell } = target(fields);
  return `${containersWell}/${containers}`;
}

describe("the summary of a status", () => {
  it("a summary has the ids, the version and the state of its row, and apps and cron_jobs by name", () => {
    const cronJob = (name: string): CronJob => ({ name, revision: 2n, appliedRevision: 2n, state: TargetState.APPLIED });
    const { targets, ...rest } = summary({
      deviceGroup: "pos",
      seq: 9n,
      pruneId: 3n,
      repairs: 4n,
      apps: [app({ name: "web" }), app({ name: "api" })],
      cronJobs: [cronJob("nightly"), cronJob("hourly")],
      problems: [{ code: "second_worker", message: "two" }],
    });
    assert.deepEqual(
      targets.map(({ kind, name }) => [kind, name]),
      [
        [TargetKind.APP, "api"],
        [TargetKind.APP, "web"],
        [TargetKind.CRON_JOB, "hourly"],
        [TargetKind.CRON_JOB, "nightly"],
      ],
    );
    assert.deepEqual([rest.deviceId, rest.deviceGroup, rest.boot, rest.seq, rest.writtenAt], ["device-1", "pos", "boot-1", 9n, 7n]);
    assert.deepEqual([rest.receivedAtMs, rest.etag, rest.state, rest.groupRevision], [BigInt(SAMPLE_TIME_MS), "etag", TargetState.APPLIED, 1n]);
    assert.deepEqual([rest.pruneId, rest.repairs, rest.workerVersion, rest.problems, rest.original], [3n, 4n, "0.1.0", ["second_worker"], false]);
  });

  it("a summary of a deleted device does not exist, and that of a device under whose id two workers report says so", () => {
    const row = statusRow(sampleReport());
    assert.equal(summaryOf(markerOf(row)), undefined);
    assert.deepEqual(summaryOf({ ...row, device: { ...row.device, duplicateId: true } })?.problems, [DUPLICATE_ID]);
  });

  it("an encoded summary is made once for the row of a version, again for a later version, and never for a marker", () => {
    const row = statusRow(sampleReport(), 7n);
    for (const each of [row, { ...row, writtenAt: 8n }]) {
      const expected = toBinary(DeviceSummarySchema, summaryOf(each) ?? assert.fail());
      assert.deepEqual(encodedSummary(each), expected);
      assert.equal(encodedSummary({ ...each }), encodedSummary(each));
    }
    assert.equal(encodedSummary({ ...row, deleted: true }), undefined);
  });

  it("a summary of a worker of the original says that it is one, and has no time since when", () => {
    const { original, workerVersion, targets } = summary({ boot: "v2", workerVersion: "original", apps: [app({ stateForMs: 5n })] });
    assert.deepEqual([original, workerVersion, targets[0]?.sinceMs], [true, "", 0n]);
  });

  it("the time since when a target stands so is received_at less its duration, and 0 of a worker that reports none", () => {
    assert.equal(target({ stateForMs: 60_000n }).sinceMs, BigInt(SAMPLE_TIME_MS - 60_000));
    assert.equal(target({ containers: [container("web-1")] }).sinceMs, BigInt(SAMPLE_TIME_MS));
    assert.equal(target({ stateForMs: 2n ** 63n }).sinceMs, 0n);
    assert.equal(target({ containers: [container("web-1", { imageId: "" })] }).sinceMs, 0n);
  });

  it("a failed target has its code and its step", () => {
    const { state, failureCode, stepKind, revision, appliedRevision } = target({
      appliedRevision: 41n,
      state: TargetState.FAILED,
      failureCode: FailureCode.PORT_TAKEN,
      stepKind: StepKind.PORTS,
    });
    assert.deepEqual(
      [state, failureCode, stepKind, revision, appliedRevision],
      [TargetState.FAILED, FailureCode.PORT_TAKEN, StepKind.PORTS, 42n, 41n],
    );
  });

  it("containers count as well when they are up to date, run and are not unhealthy", () => {
    assert.equal(containersOf({ containers: [container("web-1"), container("web-2")] }), "2/2");
    assert.equal(containersOf({ containers: [container("web-1", { health: ContainerHealth.UNHEALTHY }), container("web-2")] }), "1/2");
    assert.equal(containersOf({ containers: [container("web-1", { health: ContainerHealth.STARTING })] }), "1/1");
    for (const state of [ContainerState.EXITED, ContainerState.RESTARTING, ContainerState.PAUSED, ContainerState.CREATED, ContainerState.DEAD]) {
      assert.equal(containersOf({ containers: [container("web-1", { state })] }), "0/1");
    }
    assert.equal(containersOf({ containers: [] }), "0/0");
  });

  it("containers of a revision before count as up to date where the app is applied: its change needed no new ones", () => {
    assert.equal(containersOf({ containers: [container("web-1", { revision: 41n })] }), "1/1");
    assert.equal(containersOf({ appliedRevision: 41n, state: TargetState.WORKING, containers: [container("web-1", { revision: 41n })] }), "0/1");
  });

  it("an old container beside its new one is not counted, before and after the names are exchanged", () => {
    const replacing = { appliedRevision: 41n, state: TargetState.WORKING };
    const old = { revision: 41n };
    assert.equal(containersOf({ ...replacing, containers: [container("web-1", old), container("web-1.next")] }), "1/1");
    assert.equal(containersOf({ ...replacing, containers: [container("web-1"), container("web-1.old", old)] }), "1/1");
    assert.equal(containersOf({ ...replacing, containers: [container("web-1"), container("web-1.moved-0f31c2aa", old)] }), "1/1");
    assert.equal(containersOf({ ...replacing, containers: [container("web-1"), container("web-2", old)] }), "1/2");
  });

  it("containers of an app that is removed are not counted", () => {
    const removed = { appliedRevision: 41n, state: TargetState.WORKING, stepKind: StepKind.REMOVE };
    assert.equal(containersOf({ ...removed, containers: [container("web-1", { revision: 41n })] }), "0/0");
  });

  it("a crash loop counts 0 while its container happens to run", () => {
    const crashing = { state: TargetState.FAILED, failureCode: FailureCode.EXITS };
    assert.equal(containersOf({ ...crashing, containers: [container("web-1", { restarts: 4 })] }), "0/1");
    assert.equal(containersOf({ ...crashing, containers: [container("web-1")] }), "0/1");
    assert.equal(containersOf({ ...crashing, containers: [container("web-1"), container("web-2", { restarts: 1 })] }), "1/2");
  });

  it("runs of a cron_job that have ended are not counted", () => {
    const containers = [container("nightly-1767225600-1", { state: ContainerState.EXITED }), container("nightly-1767225700-1")];
    const [job] = summary({ apps: [], cronJobs: [{ name: "nightly", containers }] }).targets;
    assert.deepEqual([job?.containers, job?.containersWell], [1, 1]);
  });

  it("ids of images are cut to 8 bytes, each once, at most 4", () => {
    const images = [IMAGE, IMAGE, IMAGE.slice("sha256:".length), "latest", ""];
    const one = target({ containers: images.map((imageId, index) => container(`web-${index}`, { imageId })) });
    assert.deepEqual(
      one.imageIds.map((id) => Buffer.from(id).toString("hex")),
      ["0123456789abcdef"],
    );
    const many = Array.from({ length: 9 }, (_, index) => container(`web-${index}`, { imageId: `sha256:${String(index).repeat(64)}` }));
    assert.equal(target({ containers: many }).imageIds.length, 4);
  });

  it("the size of a summary is at most 150 bytes, and 45 for each target", () => {
    const sized = (targets: number) => {
      const apps = Array.from({ length: targets }, (_, index) =>
        app({ name: `app-${index}`, stateForMs: 1000n, containers: [container(`app-${index}-1`)] }),
      );
      const fields = { deviceId: "pos-00042", deviceGroup: "pos", boot: "0f31c2aa-4b1e-4c7e-9b1f-0f31c2aa4b1e", etag: "9".repeat(32), apps };
      return toBinary(DeviceSummarySchema, summary(fields)).length;
    };
    assert.ok(sized(0) <= 150, `${sized(0)} bytes`);
    const perTarget = (sized(20) - sized(0)) / 20;
    assert.ok(perTarget <= 45, `${perTarget} bytes a target`);
  });
});
