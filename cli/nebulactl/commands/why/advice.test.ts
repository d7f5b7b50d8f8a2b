import { strict as assert } from "node:assert";
import { type AdviceSubject, failureAdvice, type GivenAdvice, placeAdvice, problemAdvice, stoppedAdvice } from "../../../../common/insight/advice.ts";
import { knownProblem, PROBLEM_CODES } from "../../../../common/insight/problems.ts";
import { ALL_SETTINGS } from "../../../../common/settings/settings-table.ts";
import { StuckAt } from "../../../../gen/nebula/v1/explain_pb.ts";
import { FailureCode } from "../../../../gen/nebula/v1/report_pb.ts";
import { loadAll } from "../../command/load-commands.ts";
import { missingFlags, parseCommandLine } from "../../command/parse-command-line.ts";
import { commands } from "../../commands.ts";
import { words } from "../../testing/test-cli.ts";

const CODES = Object.entries(FailureCode).filter(([, code]) => code !== FailureCode.UNSPECIFIED);
const PLACES = Object.entries(StuckAt).filter(([, place]) => place !== StuckAt.UNSPECIFIED && place !== StuckAt.NOWHERE);

const app: AdviceSubject = { deviceId: "pos-0117", deviceGroup: "pos", kind: "app", name: "web" };
const SUBJECTS: readonly AdviceSubject[] = [
  app,
  { ...app, kind: "cron_job", name: "backup" },
  { ...app, image: "registry:5000/shop@sha256:0123", container: "web-1", containerPort: 80, otherMembers: [] },
  { ...app, kind: "cron_job", otherMembers: ["a", "b.c"], container: "backup-1", image: "busybox:1" },
];

/** Every advice that there is about a subject, by what it is about. */
function everyAdvice(subject: AdviceSubject): readonly (readonly [about: string, advice: readonly GivenAdvice[]])[] {
  return [
    ...CODES.map(([name, code]) => [name, failureAdvice(code, subject)] as const),
    ["a failure without a code", failureAdvice(FailureCode.UNSPECIFIED, subject)],
    ...[...PROBLEM_CODES, "duplicate_id"].map((code) => [code, problemAdvice(knownProblem(code), subject)] as const),
    ["a problem of a newer worker", problemAdvice(knownProblem("made_up"), subject)],
    ...PLACES.map(([name, place]) => [name, placeAdvice(place, subject)] as const),
    ["a stopped one", stoppedAdvice(subject)],
  ];
}

/** Variables that docs/settings.md has beside the table of settings. */
const REGISTRY_LOGIN = /\bREGISTRY_AUTH_(?:USER|PASSWORD)\b/;
const SETTING_NAMES: ReadonlySet<string> = new Set(ALL_SETTINGS.map(({ variable }) => variable));

describe("the advice of nebulactl why", () => {
  it("each code, each problem and each place where a change is stuck has an advice that names a command or a setting", () => {
    for (const subject of SUBJECTS) {
      for (const [about, advice] of everyAdvice(subject)) {
        assert.ok(advice.length > 0, about);
        for (const { text } of advice) {
          assert.match(text, /^[a-z][^\n]*[^.\s]$/, about);
          const settings = text.match(/\bNEBULA_\w+/g) ?? [];
          for (const setting of settings) assert.ok(SETTING_NAMES.has(setting), `${about}: ${setting} is a setting`);
        }
        const isUseful = advice.some(({ text, command }) => command !== "" || /\bNEBULA_\w+/.test(text) || REGISTRY_LOGIN.test(text));
        assert.ok(isUseful, `${about} of a ${subject.kind}`);
      }
    }
    assert.deepEqual(placeAdvice(StuckAt.NOWHERE, app), []);
  });

  it("each command of nebulactl that an advice names is one that nebulactl takes, with nothing missing", async () => {
    const loaded = await loadAll(commands);
    const given = new Set(SUBJECTS.flatMap(everyAdvice).flatMap(([, advice]) => advice.map(({ command }) => command)));
    const ours = [...given].filter((command) => command.startsWith("nebulactl "));
    assert.ok(ours.length > 20, String(ours.length));
    for (const command of ours) {
      const parsed = parseCommandLine(loaded, words(command).slice(1));
      assert.equal(parsed.kind, "run", `${command}: ${JSON.stringify(parsed.kind === "wrong" ? parsed.message : "")}`);
      if (parsed.kind === "run") assert.deepEqual(missingFlags(parsed.command, parsed.values), [], command);
    }
  });

  it("the other commands of an advice are those of Docker, systemd and nebula", () => {
    const programs = SUBJECTS.flatMap(everyAdvice).flatMap(([, advice]) => advice.map(({ command }) => words(command)[0] ?? ""));
    assert.deepEqual([...new Set(programs)].filter((program) => program !== "").sort(), ["docker", "nebula", "nebulactl", "systemctl"]);
  });

  it("an advice names the device, the group, the target, its container, image, port and fellow members", () => {
    const subject: AdviceSubject = { ...app, image: "shop:1.5", container: "web-1", containerPort: 8080, otherMembers: ["api", "cache"] };
    const commandsOf = (advice: readonly GivenAdvice[]) => advice.map(({ command }) => command);
    assert.deepEqual(commandsOf(failureAdvice(FailureCode.PORT_TAKEN, subject)), ["nebulactl apps update web -p HOST:8080"]);
    assert.deepEqual(commandsOf(failureAdvice(FailureCode.PULL_UNREACHABLE, subject)), ["docker pull shop:1.5"]);
    assert.deepEqual(commandsOf(failureAdvice(FailureCode.RUN_FAILED, subject)), ["docker logs web-1"]);
    assert.deepEqual(commandsOf(failureAdvice(FailureCode.NO_SPACE, subject)), ["nebulactl prune --device-group pos"]);
    assert.deepEqual(commandsOf(failureAdvice(FailureCode.WORKER_TOO_OLD, subject)), ["nebulactl devices info pos-0117"]);
    assert.deepEqual(commandsOf(placeAdvice(StuckAt.NOT_IN_GROUP, subject)), ["nebulactl device-groups update pos --apps=api,cache,web"]);
    assert.deepEqual(commandsOf(stoppedAdvice({ ...subject, kind: "cron_job" })), ["nebulactl cron-jobs update web --running"]);
  });

  it("text of a device that a shell would act on is not in a command", () => {
    for (const hostile of ["web-1; reboot", "$(reboot)", "`reboot`", "--rm", "a b", "web\n1", "web'1", ""]) {
      const [logs] = failureAdvice(FailureCode.EXITS, { ...app, container: hostile });
      const [pull] = failureAdvice(FailureCode.IMAGE_STALE, { ...app, image: hostile });
      assert.deepEqual([logs?.command, pull?.command], ["docker logs CONTAINER", "docker pull IMAGE"]);
    }
  });
});
