import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { failureAdvice, type GivenAdvice, placeAdvice, problemAdvice } from "../common/insight/advice.ts";
import { isBlocking, PROBLEM_CODES } from "../common/insight/problems.ts";
import { StuckAt } from "../gen/nebula/v1/explain_pb.ts";
import { FailureCode, StepKind, TargetState } from "../gen/nebula/v1/report_pb.ts";

const PAGE = readFileSync(new URL("../docs/worker.md", import.meta.url), "utf8");

/** The cells of the table with this heading, row by row, without blanks around them. */
function table(heading: string): string[][] {
  const [, after = ""] = PAGE.split(`\n${heading}\n${heading.replace(/[^|]+/g, "---")}\n`);
  const lines = after.split("\n");
  const rows = lines.slice(
    0,
    lines.findIndex((line) => !line.startsWith("|")),
  );
  assert.ok(rows.length > 0, heading);
  return rows.map((row) =>
    row
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** The names of an enum in its order, those without a meaning left out. */
function namesOf(values: Readonly<Record<string, number>>, left: readonly string[] = ["UNSPECIFIED"]): string[] {
  return Object.keys(values)
    .filter((name) => !left.includes(name))
    .map((name) => `\`${name}\``);
}

/** Stands for the device, group and target of an advice. */
const SUBJECT = { deviceId: "DEVICE", deviceGroup: "GROUP", kind: "app", name: "APP" } as const;

function cell(advice: readonly GivenAdvice[]): string {
  return advice.map(({ text, command }) => (command === "" ? text : `${text}: \`${command}\``)).join("; ");
}

describe("docs/worker.md", () => {
  it("docs/worker.md lists every code that a failure can have, with the advice of nebulactl why", () => {
    const rows = table("| code | the device | what helps |").map(([code, , helps]) => [code, helps]);
    const known = Object.entries(FailureCode).filter(([, code]) => code !== FailureCode.UNSPECIFIED);
    assert.deepEqual(
      rows,
      known.map(([name, code]) => [`\`${name}\``, cell(failureAdvice(code, SUBJECT))]),
    );
  });

  it("docs/worker.md lists every problem that a device can report, which of them make it failed, and the advice of nebulactl why", () => {
    const rows = table("| problem | meaning | what helps |").map(([code, meaning = "", helps]) => [code, meaning.includes("*failed*"), helps]);
    assert.deepEqual(
      rows,
      PROBLEM_CODES.map((code) => [`\`${code}\``, isBlocking(code), cell(problemAdvice(code, SUBJECT))]),
    );
  });

  it("docs/worker.md lists every place where a change may be stuck, with the advice of nebulactl why", () => {
    const rows = table("| place | meaning | what to do |").map(([place, , helps]) => [place, helps]);
    const known = Object.entries(StuckAt).filter(([, place]) => place !== StuckAt.UNSPECIFIED && place !== StuckAt.NOWHERE);
    assert.deepEqual(
      rows,
      known.map(([name, place]) => [`\`${name}\``, cell(placeAdvice(place, SUBJECT))]),
    );
  });

  it("docs/worker.md lists every step and every state of a worker", () => {
    const first = (heading: string) => table(heading).map(([name]) => name);
    assert.deepEqual(first("| step | the worker |"), namesOf(StepKind));
    assert.deepEqual(first("| state | an app or cron_job, or the device as a whole |"), namesOf(TargetState));
  });
});
