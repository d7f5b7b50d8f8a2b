import { strict as assert } from "node:assert";
import { parseSchedule } from "./schedule.ts";

function runs(text: string, timeZone: string, from: string, count: number): string[] {
  const parsed = parseSchedule(text, timeZone);
  assert.ok(parsed.kind === "schedule");
  const times: string[] = [];
  for (let at = Date.parse(from); times.length < count; ) {
    const next = parsed.schedule.next(at);
    if (next === undefined) break;
    times.push(new Date(next).toISOString());
    at = next;
  }
  return times;
}

describe("a schedule", () => {
  it("runs strictly after the time given", () => {
    assert.deepEqual(runs("*/30 * * * *", "UTC", "2026-01-01T00:00:00Z", 2), ["2026-01-01T00:30:00.000Z", "2026-01-01T01:00:00.000Z"]);
  });

  it("follows its own time zone, daylight saving included", () => {
    assert.deepEqual(runs("0 6 28-29 3 *", "Europe/Berlin", "2026-03-01T00:00:00Z", 2), ["2026-03-28T05:00:00.000Z", "2026-03-29T04:00:00.000Z"]);
  });

  it("runs when the day of the month or the day of the week fits", () => {
    assert.deepEqual(runs("0 0 1 * MON", "UTC", "2026-01-01T12:00:00Z", 2), ["2026-01-05T00:00:00.000Z", "2026-01-12T00:00:00.000Z"]);
    assert.deepEqual(runs("0 0 13 * MON", "UTC", "2026-01-12T12:00:00Z", 1), ["2026-01-13T00:00:00.000Z"]);
  });
});
