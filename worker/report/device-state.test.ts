import { strict as assert } from "node:assert";
import { perServer } from "../../common/testing/config-builder.ts";
import { type AppStatus, FailureCode, type Report, StepKind, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { Rig } from "../testing/rig.ts";
import { DeviceState } from "./device-state.ts";

const FACTS = { deviceId: "device-1", deviceGroup: "shop", boot: "b", instance: "main", startedAt: 0 };

/** The reports that a device would make of each look at its engine. */
class Reports {
  readonly rig: Rig;
  readonly #state = new DeviceState(FACTS);

  constructor(rig: Rig) {
    this.rig = rig;
  }

  /** A report of the newest look. */
  get report(): Report {
    const { look, clock } = this.rig;
    assert.ok(look !== undefined);
    this.#state.see(look, clock.monotonic());
    const report = this.#state.compose({ wall: clock.now(), monotonic: clock.monotonic() });
    assert.ok(report !== undefined);
    return report;
  }

  app(name: string): AppStatus {
    const app = this.report.apps.find((each) => each.name === name);
    assert.ok(app !== undefined, `there is no app ${name}`);
    return app;
  }
}

describe("the state of a device", () => {
  const missing = (image: string) => (image.includes("gone") ? { pull: { kind: "fails" as const, message: "manifest unknown" } } : {});

  it("the state of a device names each failure by a code and a step beside the sentence", async () => {
    await using rig = new Rig({ behaviour: missing, images: ["shop:1"] });
    const reports = new Reports(rig);
    await rig.start({ apps: { web: {}, bad: { dockerImage: "gone:1" }, wide: { containersPer: perServer(0) } } });
    const shown = ["web", "bad", "wide"].map((name) => {
      const { state, failureCode, stepKind, step } = reports.app(name);
      return [state, failureCode, stepKind, step];
    });
    assert.deepEqual(shown, [
      [TargetState.APPLIED, FailureCode.UNSPECIFIED, StepKind.UNSPECIFIED, ""],
      [TargetState.FAILED, FailureCode.PULL_NOT_FOUND, StepKind.PULL, "pull"],
      [TargetState.FAILED, FailureCode.CONFIG_INVALID, StepKind.CONFIG, "config"],
    ]);
    assert.equal(reports.app("web").containers[0]?.imageId, rig.named("web-1").imageId);
    assert.notEqual(rig.named("web-1").imageId, "");
  });

  it("the state of a device has its durations by the monotonic clock, and a jump of the wall clock changes none", async () => {
    await using rig = new Rig({ behaviour: missing, images: ["shop:1"] });
    const reports = new Reports(rig);
    await rig.start({ apps: { web: {}, bad: { dockerImage: "gone:1" } } });
    assert.equal(reports.app("web").stateForMs, 0n);
    const { retryInMs: first } = reports.app("bad");
    assert.ok(first !== undefined && first > 10_000n && first <= 15_000n, String(first));
    await rig.pass(4000);
    rig.clock.setWall(rig.clock.now() - 365 * 86_400_000);
    const [web, bad] = [reports.app("web"), reports.app("bad")];
    assert.deepEqual([web.stateForMs, web.retryInMs, bad.stateForMs, bad.retryInMs], [4000n, undefined, 4000n, first - 4000n]);
  });

  it("the state of a device counts a state's time from its last change of revision, kind or code", async () => {
    await using rig = new Rig({ behaviour: missing, images: ["shop:1"] });
    const reports = new Reports(rig);
    const stateForMs = () => reports.app("web").stateForMs;
    await rig.start({ apps: { web: {} } });
    assert.equal(stateForMs(), 0n);
    await rig.pass(3000);
    assert.equal(stateForMs(), 3000n);
    await rig.apply({ apps: { web: { dockerImage: "gone:1", revision: 2n } } });
    assert.equal(stateForMs(), 0n);
    await rig.pass(60_000, 5000); // it is pulled again meanwhile, and fails alike
    assert.ok(reports.app("web").tries > 1);
    assert.equal(stateForMs(), 60_000n);
  });

  it("the state of a device says how far a pull is", async () => {
    const behaviour = (image: string) => (image.includes("large") ? { pull: { kind: "repeats" as const } } : {});
    await using rig = new Rig({ behaviour, images: ["shop:1"] });
    const reports = new Reports(rig);
    await rig.start({ apps: { web: { dockerImage: "large:1" }, db: {} } });
    await rig.wake();
    const { state, stepKind, pull } = reports.app("web");
    assert.deepEqual([state, stepKind, pull?.doneBytes, pull?.totalBytes], [TargetState.WORKING, StepKind.PULL, 14n, 200n]);
    assert.equal(reports.app("db").pull, undefined);
  });
});
