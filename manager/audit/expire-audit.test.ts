import { strict as assert } from "node:assert";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { silentLog } from "../../common/log/log.ts";
import { expireAudit } from "./audit.ts";

const DAY_MS = 86_400_000;

describe("the end of audit entries", () => {
  it("audit entries are removed after their time, in bounded steps, again and again, also after the store was unreachable", async () => {
    const clock = new ManualClock();
    const start = clock.now();
    const answers = [500, 500, 20, 0, "away", 7, 0];
    const asked: number[] = [];
    const accessStore = {
      async expireAudit(beforeMs: number) {
        asked.push(beforeMs);
        const answer = answers.shift() ?? 0;
        if (typeof answer === "string") throw new NebulaError("unavailable", answer);
        return answer;
      },
    };
    const stop = new AbortController();
    const ended = expireAudit({ accessStore, retentionMs: 90 * DAY_MS, clock, log: silentLog }, stop.signal);
    await clock.advance(1000);
    assert.equal(asked.length, 4, "until nothing is left");
    assert.equal(asked[0], start - 90 * DAY_MS);
    await clock.advance(3_600_000);
    assert.ok(asked.length > 6, "and later again");
    assert.deepEqual(answers, []);
    stop.abort();
    await ended;
    assert.equal(clock.sleeping, 0);
  });
});
