import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Followed } from "../../../../common/insight/text/apply-text.ts";
import { type ApplyDeviceSchema, ApplyVerb, ApplyVerdict, DeviceStanding, WatchApplyResponseSchema } from "../../../../gen/nebula/v1/apply_pb.ts";
import { TargetKind } from "../../../../gen/nebula/v1/device_pb.ts";
import { FailureCode, StepKind } from "../../../../gen/nebula/v1/report_pb.ts";
import { assertGolden } from "../../testing/golden.ts";
import { ApplyProgress, messageJson } from "./apply-progress.ts";

const WEB: Followed = { kind: TargetKind.APP, name: "web", revision: 42n, verb: ApplyVerb.UPDATE, before: 41n };

type Fields = Exclude<MessageInitShape<typeof WatchApplyResponseSchema>, { $typeName: string }>;

const COUNTS = { devices: 1204n, applied: 1196n, failed: 2n, offline: 6n, online: 1198n, onlineApplied: 1196n };

function message(fields: Fields = {}) {
  return create(WatchApplyResponseSchema, { counts: COUNTS, revisions: [42n], ...fields });
}

function failed(deviceId: string, fields: MessageInitShape<typeof ApplyDeviceSchema> = {}): MessageInitShape<typeof ApplyDeviceSchema> {
  return { deviceId, deviceGroup: "pos", standing: DeviceStanding.FAILED, ...fields };
}

function progress(fields: Fields, followed: readonly Followed[] = [WEB]): ApplyProgress {
  const made = new ApplyProgress(followed, 300_000);
  made.take(message(fields));
  return made;
}

const golden = (name: string, lines: readonly string[]) =>
  assertGolden(new URL(`golden/${name}`, import.meta.url), lines.map((line) => `${line}\n`).join(""));

describe("the progress of a change", () => {
  it("the line of a change has the numbers, a bar and the time, and the devices that failed follow", async () => {
    const changed = [
      failed("pos-0031", { reason: "pull shop:1.5: no space left on device" }),
      failed("pos-117", { stepKind: StepKind.PORTS, failureCode: FailureCode.PORT_TAKEN }),
    ];
    const made = progress({ changed, verdict: ApplyVerdict.FAILED });
    await golden("failures.txt", [...made.lines(17_400, undefined), made.summary()]);
  });

  it("a narrow line leaves zeros out first, then the bar, and is cut last; no line is wider than the terminal", async () => {
    const changed = [failed("pos-0031", { reason: "a long reason ".repeat(30) })];
    const failures = [{ standing: DeviceStanding.FAILED, failureCode: FailureCode.NO_SPACE, devices: 2n }];
    const narrow = (columns: number) => progress({ changed, failures }).lines(17_000, columns);
    await golden(
      "narrow.txt",
      [100, 70, 30].flatMap((columns) => narrow(columns)),
    );
    for (const columns of [30, 70, 100, 200]) for (const line of narrow(columns)) assert.ok(line.length <= columns, line);
  });

  it("the first ten devices that failed are named, and numbers by code stand for more; one that recovers makes room", () => {
    const names = Array.from({ length: 12 }, (_, index) => `d${String(index).padStart(2, "0")}`);
    const failures = [{ standing: DeviceStanding.FAILED, failureCode: FailureCode.NO_SPACE, devices: 12n }];
    const made = progress({ counts: { ...COUNTS, failed: 12n }, failures, changed: names.map((name) => failed(name)) });
    const shown = () => made.lines(0, undefined).slice(1);
    assert.equal(shown().length, 11);
    assert.equal(shown().at(-1), "  12 failed: 12 no_space");
    const recovered = names.slice(0, 3).map((name) => failed(name, { standing: DeviceStanding.APPLIED }));
    made.take(message({ counts: { ...COUNTS, failed: 9n }, changed: recovered }));
    assert.equal(shown().length, 9);
    assert.match(shown()[0] ?? "", /d03/);
  });

  it("a stream that is opened again names the devices that failed again, and none twice", () => {
    const made = progress({ changed: [failed("a"), failed("b")] });
    made.forget();
    made.take(message({ counts: { ...COUNTS, failed: 1n }, changed: [failed("b")] }));
    assert.deepEqual(made.lines(0, undefined).slice(1), ["  failed  b  no code"]);
  });

  it("the list says that some of it may have recovered once more devices changed than a message names", () => {
    const made = progress({ changed: [failed("a"), failed("b")] });
    made.take(message({ moreChanged: [{ standing: DeviceStanding.APPLIED, devices: 1n }] }));
    assert.deepEqual(made.lines(0, undefined).slice(1), [
      "  failed  a  no code",
      "  failed  b  no code",
      "  more devices changed at once than are named: some of these may have recovered",
    ]);
  });

  it("a superseding revision is shown with its author, and groups that may not be seen are counted", () => {
    const superseded = [{ kind: TargetKind.APP, name: "web", revision: 43n, by: "bob" }];
    const made = progress({ superseded, unseenGroups: 2n, verdict: ApplyVerdict.FAILED });
    assert.equal(made.lines(0, undefined)[1], "  app web was changed again by bob: revision 43");
    assert.match(made.summary(), /; and 2 device_groups that you may not see$/);
  });

  it("text of devices and of other users is escaped", () => {
    const superseded = [{ kind: TargetKind.APP, name: "web", revision: 43n, by: "b\u001bob" }];
    const lines = progress({ superseded, changed: [failed("d", { reason: "one\ntwo\u202e" })] }).lines(0, undefined);
    for (const line of lines) assert.match(line, /^[\x20-\x7e]*$/);
  });

  it("the sentence at the end follows what was done", () => {
    const end = (followed: readonly Followed[], fields: Fields = {}, part = 0) => progress(fields, followed).summary().split("; ")[part];
    const of = (online: string) => `1196 of 1198 online devices ${online}`;
    assert.equal(end([{ ...WEB, verb: ApplyVerb.STOP }]), of("stopped it"));
    assert.equal(end([{ ...WEB, verb: ApplyVerb.DELETE }]), of("removed it"));
    const deletedGroup = { ...WEB, kind: TargetKind.DEVICE_GROUP, verb: ApplyVerb.DELETE };
    assert.equal(
      progress({ counts: { devices: 3n, applied: 3n, online: 2n, onlineApplied: 2n } }, [deletedGroup]).summary(),
      "3 devices keep what they run",
    );
    assert.equal(progress({ counts: { devices: 1n, applied: 1n } }, [deletedGroup]).summary(), "1 device keeps what it runs");
    assert.equal(end([{ ...WEB, kind: TargetKind.DEVICE_GROUP, verb: ApplyVerb.PRUNE }]), of("pruned"));
    assert.equal(end([{ ...WEB, kind: TargetKind.CRON_JOB }]), of("are at revision 42 or newer"));
    assert.equal(end([WEB, WEB]), of("applied all of it"));
    assert.equal(end([WEB], { counts: { devices: 3n, offline: 3n } }), "no device of 3 is online");
    assert.equal(end([WEB], { counts: {} }), "no device is reached");
    const late = progress({ counts: { devices: 3n, working: 2n, waiting: 1n, online: 3n }, verdict: ApplyVerdict.UNFINISHED });
    assert.equal(late.summary(), "0 of 3 online devices run revision 42 or newer; 2 still work on it; 1 did not answer (after 5 min)");
    assert.equal(end([WEB], { counts: { devices: 1n, working: 1n, online: 1n } }, 1), "1 still works on it");
  });

  it("a message as JSON has numbers as numbers, and enums in lower case", async () => {
    const changed = [
      failed("a", { kind: TargetKind.APP, name: "web", failureCode: FailureCode.NO_SPACE, stepKind: StepKind.PULL, reason: "full" }),
      { deviceId: "b", deviceGroup: "pos" },
    ];
    const failures = [{ standing: DeviceStanding.FAILED, failureCode: FailureCode.NO_SPACE, devices: 2n }];
    const json = messageJson(message({ changed, failures, groups: 1n, verdict: ApplyVerdict.NONE_ONLINE }));
    await golden("message-json.txt", [JSON.stringify(json, undefined, 2)]);
  });
});
