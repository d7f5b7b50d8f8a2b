import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import type { EnrolOutcome } from "../common/storage/access-store.ts";
import { INVALID_LOGIN } from "../manager/access/authenticate.ts";
import { inUseElsewhere } from "../manager/access/present-groups.ts";
import { enrolledGroup, makerHasNoRights } from "../manager/services/enrolled-group.ts";
import { ENROLMENT_UNFINISHED, TOKEN_NOT_SAVED, TOKEN_UNKNOWN } from "../worker/login/device-login.ts";

const PAGE = readFileSync(new URL("../docs/devices.md", import.meta.url), "utf8");

/** The cells of the table with this heading, row by row. */
function table(heading: string): string[][] {
  const [, after = ""] = PAGE.split(`\n${heading}\n${heading.replace(/[^|]+/g, "---")}\n`);
  const rows = after.split("\n").slice(
    0,
    after.split("\n").findIndex((line) => !line.startsWith("|")),
  );
  return rows.map((row) => row.split("|").slice(1, -1));
}

function quoted(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, inner = ""]) => inner);
}

function refusalText(outcome: EnrolOutcome): string {
  try {
    enrolledGroup(outcome, "pos-0031");
  } catch (error) {
    assert.ok(error instanceof Error);
    return error.message;
  }
  return assert.fail(`${outcome.kind} is not refused`);
}

describe("docs/devices.md", () => {
  it("docs/devices.md lists every reason for which a device is not enrolled, in the words of the log", () => {
    const said = table("| the log says | what to do |").flatMap(([says = ""]) => quoted(says));
    const logged = [
      ...(["unknown", "used_up", "expired"] as const).map((why) => refusalText({ kind: "not_valid", why })),
      ...(["other_token", "hash_taken"] as const).map((kind) => refusalText({ kind })),
      INVALID_LOGIN,
      inUseElsewhere("pos-0031").message,
      makerHasNoRights("pos").message,
      TOKEN_NOT_SAVED,
      ENROLMENT_UNFINISHED,
      TOKEN_UNKNOWN,
    ];
    assert.deepEqual(
      logged.map((text) => [text, said.filter((phrase) => text.includes(phrase)).length]),
      logged.map((text) => [text, 1]),
    );
    assert.equal(said.length, logged.length);
  });
});
