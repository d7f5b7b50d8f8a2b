import { strict as assert } from "node:assert";
import { durationMs, timeBefore } from "./time-before.ts";

const NOW = Date.parse("2026-02-01T00:00:00Z");

describe("durations and times as people type them", () => {
  it("a duration has one or more numbers with units", () => {
    for (const [text, ms] of [
      ["0", 0],
      ["90s", 90_000],
      ["1h30m", 5_400_000],
      ["1.5h", 5_400_000],
      ["2d", 172_800_000],
    ] as const)
      assert.equal(durationMs(text), ms, text);
    for (const text of ["", "5", "h", "1 h", "-1h", "1w"]) assert.equal(durationMs(text), undefined, text);
  });

  it("a time is a duration before now, or an ISO time; any other text is neither", () => {
    assert.equal(timeBefore("2h", NOW), NOW - 7_200_000);
    assert.equal(timeBefore("2026-01-31T12:00:00Z", NOW), NOW - 43_200_000);
    for (const text of ["", "yesterday", "2026", "2026-13-01", "99999999999999999d"]) assert.equal(timeBefore(text, NOW), undefined, text);
  });
});
