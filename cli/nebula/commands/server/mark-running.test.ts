import { strict as assert } from "node:assert";
import { ManualClock } from "../../../../common/clock/manual-clock.ts";
import { isNebulaError, NebulaError } from "../../../../common/errors/nebula-error.ts";
import { createLog } from "../../../../common/log/log.ts";
import type { RunningMark } from "../../../../common/storage/config-store.ts";
import { assertNothingRuns, keepMarked, MARK_SECONDS } from "./mark-running.ts";

describe("the mark of a component that runs", () => {
  let clock: ManualClock;
  let lines: string[];
  let marks: Map<string, Readonly<{ component: string; until: number }>>;
  let isAbsent: boolean;
  let log: ReturnType<typeof createLog>;
  beforeEach(() => {
    [clock, lines, marks, isAbsent] = [new ManualClock(), [], new Map(), false];
    log = createLog({ level: "warn", part: "drivers", destination: { write: (line: string) => void lines.push(line) } });
  });

  const store = {
    async markRunning({ id, component }: RunningMark, seconds: number) {
      if (isAbsent) throw new NebulaError("unavailable", "no node answers");
      if (seconds === 0) marks.delete(id);
      else marks.set(id, { component, until: clock.monotonic() + seconds * 1000 });
    },
    runningComponents: async () => [...marks.values()].filter(({ until }) => until > clock.monotonic()).map(({ component }) => component),
  };
  const never = new AbortController().signal;
  const look = () => assertNothingRuns(store, never);
  const refused = (pattern: RegExp) => (error: unknown) => isNebulaError(error, "failed_precondition") && pattern.test(error.message);

  it("a component is found from its start on for as long as it runs, and no more when it has ended", async () => {
    await look();
    const mark = await keepMarked(store, "manager", { clock, log });
    for (let seconds = 0; seconds < 4 * MARK_SECONDS; seconds++) {
      await assert.rejects(look(), refused(/components run on this store \(manager on .* \(process \d+\)\): stop each of them/));
      await clock.advance(1000);
    }
    await mark[Symbol.asyncDispose]();
    await look();
    await clock.advance(60_000);
    await look();
    assert.deepEqual(lines, []);
  });

  it("a component that was killed is found for 30 s, and no longer", async () => {
    await using _killed = await keepMarked({ ...store, markRunning: (mark, seconds) => store.markRunning(mark, seconds) }, "reporter", {
      clock: new ManualClock(), // it renews nothing
      log,
    });
    await clock.advance(MARK_SECONDS * 1000 - 1);
    await assert.rejects(look(), refused(/reporter on .*one that was killed counts for 30 s/));
    await clock.advance(1);
    await look();
  });

  it("a component starts also where the store takes no mark, says so, and is marked when the store answers", async () => {
    isAbsent = true;
    await using _mark = await keepMarked(store, "manager", { clock, log });
    await look();
    assert.match(lines.join(""), /no node answers.*does not take the mark/);
    isAbsent = false;
    await clock.advance(10_000);
    await assert.rejects(look(), refused(/manager on/));
  });

  it("components of one process have marks of their own", async () => {
    const one = await keepMarked(store, "manager", { clock, log });
    await using _two = await keepMarked(store, "reporter", { clock, log });
    await one[Symbol.asyncDispose]();
    await assert.rejects(look(), refused(/store \(reporter on [^,]*\): stop/));
  });
});
