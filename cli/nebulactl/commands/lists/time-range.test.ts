import { strict as assert } from "node:assert";
import { receivedRange } from "./time-range.ts";

const NOW = Date.UTC(2026, 0, 31, 12);
const none = { since: undefined, until: undefined, creationTime: undefined, creationFilter: undefined };

describe("the times of a list of reports", () => {
  it("times of a list are durations back from now, or times", () => {
    assert.deepEqual(receivedRange({ ...none, since: "2h", until: "2026-01-31T11:30:00Z" }, NOW), {
      fromMs: NOW - 7_200_000,
      untilMs: NOW - 1_800_000,
    });
    assert.deepEqual(receivedRange(none, NOW), { fromMs: undefined, untilMs: undefined });
    for (const since of ["yesterday", "10", "2026-13-01"])
      assert.throws(() => receivedRange({ ...none, since }, NOW), /invalid --since ".+": use a duration such as 30m or 2h, or a time/);
  });

  it("times of a list are the original's filter, in whole seconds", () => {
    const range = (creationFilter: string | undefined) => Object.values(receivedRange({ ...none, creationTime: 100, creationFilter }, NOW));
    assert.deepEqual([undefined, "gt", "gte", "lt", "lte", "eq"].map(range), [
      [101_000, undefined],
      [101_000, undefined],
      [100_000, undefined],
      [undefined, 100_000],
      [undefined, 101_000],
      [100_000, 101_000],
    ]);
    assert.throws(() => receivedRange({ ...none, since: "1h", creationTime: 100 }, NOW), /both filter by time/);
  });
});
