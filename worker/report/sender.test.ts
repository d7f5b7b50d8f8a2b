import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { createLog } from "../../common/log/log.ts";
import { type Report, ReportSchema, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { ReportSender } from "./sender.ts";

const SECOND = 1000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const NAMES: Readonly<Record<TargetState, string>> = ["UNSPECIFIED", "APPLIED", "WORKING", "FAILED"];

type Now = { etag: string; applied: bigint; state: TargetState; reason: string; isPulling: boolean; repairs: bigint };

class Desk implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly sent: Report[] = [];
  readonly #abort = new AbortController();
  readonly #sender: ReportSender;
  readonly #done: Promise<void>;
  #now: Now | undefined;
  /** Called with each report; what it throws is how its sending fails. */
  onSubmit: (report: Report) => void | Promise<void> = () => {};
  /** Called while a report is measured, after it was composed. */
  onMeasure: () => void = () => {};

  /** The lines that the log got at level info or above. */
  readonly logged: string[] = [];

  constructor() {
    this.#sender = new ReportSender({
      clock: this.clock,
      log: createLog({ level: "info", part: "worker", destination: { write: (line: string) => void this.logged.push(line) } }),
      intervalMs: 12 * HOUR,
      compose: () => this.#compose(),
      measure: async (report) => {
        this.onMeasure();
        return report;
      },
      submit: async (report) => {
        await this.onSubmit(report);
        this.sent.push(report);
      },
    });
    this.#done = this.#sender.run(this.#abort.signal);
  }

  /** The device's state from now on. */
  async is(now: Partial<Now>): Promise<void> {
    this.#now = { etag: "e1", applied: 1n, state: TargetState.APPLIED, reason: "", isPulling: false, repairs: 0n, ...this.#now, ...now };
    this.#sender.changed();
    await this.clock.advance(0);
  }

  async configCame(etag: string): Promise<void> {
    this.#sender.configCame();
    await this.is({ etag, state: TargetState.WORKING });
  }

  sameConfigCame(): void {
    this.#sender.configCame();
  }

  async connected(): Promise<void> {
    this.#sender.connected();
    await this.clock.advance(0);
  }

  get states(): string[] {
    return this.sent.map(({ etag, state, apps }) => `${etag} ${NAMES[state]} ${apps[0]?.appliedRevision}`);
  }

  #compose(): Report | undefined {
    if (this.#now === undefined) return undefined;
    const { etag, applied, state, reason, isPulling, repairs } = this.#now;
    const pull = isPulling ? { doneBytes: BigInt(this.clock.monotonic()), totalBytes: 1_000_000_000n } : undefined;
    return create(ReportSchema, {
      deviceId: "d",
      etag,
      state,
      repairs,
      apps: [{ name: "web", revision: 9n, appliedRevision: applied, state, reason, pull }],
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await this.#done;
  }
}

describe("reports", () => {
  it("S3: reports wait for the time that the server names, over a new connection too, and log no error", async () => {
    await using desk = new Desk();
    let isFull = true;
    let tries = 0;
    desk.onSubmit = () => {
      tries++;
      if (isFull) throw new NebulaError("resource_exhausted", "the device d reports too often", { retryAfterMs: 60 * SECOND });
    };
    await desk.is({});
    assert.equal(tries, 1);
    await desk.clock.advance(59 * SECOND);
    await desk.connected();
    await desk.is({ applied: 2n });
    assert.equal(tries, 1);
    await desk.clock.advance(8 * SECOND);
    assert.equal(tries, 2);
    isFull = false;
    await desk.clock.advance(67 * SECOND);
    assert.deepEqual([tries, desk.states], [3, ["e1 APPLIED 2"]]);
    assert.deepEqual(
      desk.logged.map((line) => JSON.parse(line).msg),
      ["the server takes the report later"],
    );
  });

  it("reports start with the first state that is known, and come at least every interval", async () => {
    await using desk = new Desk();
    await desk.clock.advance(MINUTE);
    assert.deepEqual(desk.sent, []);
    await desk.is({});
    assert.equal(desk.sent.length, 1);
    await desk.clock.advance(12 * HOUR - 1);
    assert.equal(desk.sent.length, 1);
    await desk.clock.advance(1);
    assert.deepEqual(
      desk.sent.map(({ seq }) => seq),
      [1n, 2n],
    );
  });

  it("reports answer a config with its result, or after 5 s with the work in progress", async () => {
    await using desk = new Desk();
    await desk.is({});
    await desk.configCame("e2");
    await desk.clock.advance(SECOND);
    await desk.is({ applied: 2n, state: TargetState.APPLIED });
    assert.deepEqual(desk.states, ["e1 APPLIED 1", "e2 APPLIED 2"]);
    await desk.configCame("e3");
    await desk.clock.advance(5 * SECOND);
    assert.equal(desk.states.at(-1), "e3 WORKING 2");
    await desk.is({ applied: 3n, state: TargetState.APPLIED });
    assert.equal(desk.states.at(-1), "e3 APPLIED 3");
  });

  it("reports of repairs after which nothing else differs come 5 minutes after the one before at the earliest", async () => {
    await using desk = new Desk();
    await desk.is({});
    const told = () => desk.sent.map(({ repairs }) => repairs);
    await desk.clock.advance(MINUTE);
    for (let repairs = 1n; repairs <= 3n; repairs++) await desk.is({ repairs });
    assert.deepEqual(told(), [0n]);
    await desk.clock.advance(4 * MINUTE);
    assert.deepEqual(told(), [0n, 3n]);
    await desk.clock.advance(HOUR);
    assert.deepEqual(told(), [0n, 3n], "once each");
    await desk.is({ repairs: 4n });
    assert.deepEqual(told(), [0n, 3n, 4n]);
  });

  it("reports of a pull that goes on come after a minute, then every five, and at once when it has ended", async () => {
    await using desk = new Desk();
    await desk.is({ state: TargetState.WORKING, isPulling: true });
    const times = () => desk.sent.map(({ apps }) => Number(apps[0]?.pull?.doneBytes ?? -1));
    for (let second = 0; second < 12 * 60; second++) await desk.clock.advance(SECOND);
    assert.deepEqual(times(), [0, MINUTE, 6 * MINUTE, 11 * MINUTE]);
    await desk.is({ state: TargetState.APPLIED, applied: 9n, isPulling: false });
    assert.deepEqual(times().slice(4), [-1]);
    for (let minute = 0; minute < 60; minute++) await desk.clock.advance(MINUTE);
    assert.equal(desk.sent.length, 5);
  });

  it("reports answer a config that came while the report before it was measured", async () => {
    await using desk = new Desk();
    desk.onMeasure = () => {
      desk.onMeasure = () => {};
      void desk.configCame("e2");
    };
    await desk.is({});
    assert.deepEqual(desk.states, ["e1 APPLIED 1"]);
    await desk.clock.advance(5 * SECOND);
    assert.deepEqual(desk.states, ["e1 APPLIED 1", "e2 WORKING 1"]);
  });

  it("reports answer a config that changes nothing, too", async () => {
    await using desk = new Desk();
    await desk.is({});
    desk.sameConfigCame();
    await desk.clock.advance(0);
    assert.deepEqual(desk.states, ["e1 APPLIED 1", "e1 APPLIED 1"]);
    await desk.clock.advance(HOUR);
    assert.equal(desk.sent.length, 2);
  });

  it("reports announce a failure at once", async () => {
    await using desk = new Desk();
    await desk.is({});
    await desk.configCame("e2");
    await desk.is({ state: TargetState.FAILED, reason: "no such image" });
    assert.deepEqual(desk.states, ["e1 APPLIED 1", "e2 FAILED 1"]);
  });

  it("reports of a crash loop call it failed, not applied between two crashes, and applied once it is well", async () => {
    for (const [failingMs, wellMs] of [
      [10 * SECOND, 10 * SECOND],
      [5 * SECOND, 50 * SECOND],
      [1 * SECOND, 4 * MINUTE],
    ] as const) {
      await using desk = new Desk();
      await desk.is({});
      let wrongMs = 0;
      for (let passed = 0; passed < 3 * HOUR; passed += failingMs + wellMs) {
        for (const [state, ms] of [
          [TargetState.FAILED, failingMs],
          [TargetState.APPLIED, wellMs],
        ] as const) {
          await desk.is({ state, reason: state === TargetState.FAILED ? "it ends again and again" : "" });
          for (let left = ms; left > 0; left -= SECOND) {
            await desk.clock.advance(SECOND);
            if (passed > HOUR && desk.sent.at(-1)?.state !== TargetState.FAILED) wrongMs += SECOND;
          }
        }
      }
      assert.equal(wrongMs, 0, `called applied for ${wrongMs / SECOND} s of the last two hours`);
      assert.equal(desk.sent.at(-1)?.apps[0]?.reason, "it ends again and again");
      assert.ok(desk.sent.length >= 2 && desk.sent.length <= 20, `${desk.sent.length} reports`);
      await desk.clock.advance(5 * MINUTE);
      assert.equal(desk.states.at(-1), "e1 APPLIED 1", "the newest state is reported in the end");
    }
  });

  it("reports of a failure that was never reported are not applied before it is over for a while", async () => {
    await using desk = new Desk();
    await desk.is({});
    for (let turn = 0; turn < 3; turn++) {
      await desk.is({ state: TargetState.FAILED });
      await desk.is({ state: TargetState.APPLIED });
    }
    await desk.clock.advance(61 * SECOND);
    const before = desk.sent.length;
    await desk.is({ state: TargetState.FAILED });
    await desk.is({ state: TargetState.APPLIED });
    assert.ok(desk.sent.slice(before).every(({ state }) => state === TargetState.FAILED) && desk.sent.length > before, desk.states.join(", "));
  });

  it("reports of work that keeps flipping come at once, then at most once a minute, down to once an hour", async () => {
    await using desk = new Desk();
    await desk.is({});
    const times: number[] = [];
    desk.onSubmit = () => {
      times.push(Math.round(desk.clock.monotonic() / SECOND));
    };
    for (let second = 0; second < 10 * 3600; second += 10) {
      const restarts = second / 10;
      const isFailing = restarts % 2 === 0;
      await desk.is({ state: isFailing ? TargetState.WORKING : TargetState.APPLIED, reason: isFailing ? `restarted ${restarts} times` : "" });
      await desk.clock.advance(10 * SECOND);
    }
    const gaps = times.slice(1).map((at, i) => at - (times[i] ?? 0));
    assert.deepEqual(times.slice(0, 2), [0, 10], "the first is reported at once, and that it ended");
    assert.ok(
      gaps.slice(1).every((gap, i) => gap >= Math.min(3600, 60 * 2 ** i) - 10),
      `gaps ${gaps}`,
    );
    assert.ok(gaps.length <= 16 && gaps.at(-1) !== undefined && (gaps.at(-1) ?? 0) >= 3590, `gaps ${gaps}`);
  });

  it("reports of a change of an applied revision are never delayed, flipping or not", async () => {
    await using desk = new Desk();
    await desk.is({});
    for (let turn = 0; turn < 20; turn++) {
      await desk.is({ state: turn % 2 === 0 ? TargetState.FAILED : TargetState.APPLIED });
      await desk.clock.advance(SECOND);
    }
    await desk.is({ applied: 2n, state: TargetState.APPLIED });
    assert.equal(desk.states.at(-1), "e1 APPLIED 2");
  });

  it("reports that cannot be sent are sent again, the newest alone, with waits that grow, and at once with a new connection", async () => {
    await using desk = new Desk();
    let tries = 0;
    desk.onSubmit = () => {
      tries++;
      throw new NebulaError("unavailable", "no connection");
    };
    await desk.is({});
    await desk.clock.advance(2 * HOUR);
    assert.ok(tries >= 20 && tries < 60, `${tries} tries in two hours`);
    await desk.is({ applied: 2n });
    await desk.is({ applied: 3n });
    desk.onSubmit = () => {};
    await desk.connected();
    assert.deepEqual(desk.states, ["e1 APPLIED 3"]);
  });

  it("reports keep their seq while they are sent again, and one with another content has the next", async () => {
    await using desk = new Desk();
    const seqs: bigint[] = [];
    let isDown = true;
    desk.onSubmit = ({ seq }) => {
      seqs.push(seq);
      if (isDown) throw new NebulaError("deadline_exceeded", "the answer was lost");
    };
    await desk.is({});
    await desk.clock.advance(3 * SECOND);
    await desk.is({ applied: 2n });
    isDown = false;
    await desk.clock.advance(MINUTE);
    assert.deepEqual([...new Set(seqs)], [1n, 2n]);
    assert.ok(seqs.filter((seq) => seq === 1n).length >= 2);
  });

  it("reports are never two in flight: events meanwhile are one report", async () => {
    await using desk = new Desk();
    let inFlight = 0;
    let most = 0;
    desk.onSubmit = async () => {
      most = Math.max(most, ++inFlight);
      await desk.clock.sleep(SECOND, new AbortController().signal);
      inFlight--;
    };
    for (let applied = 1n; applied <= 10n; applied++) await desk.is({ applied });
    await desk.clock.advance(3 * SECOND);
    assert.equal(most, 1);
    assert.deepEqual(desk.states, ["e1 APPLIED 1", "e1 APPLIED 10"]);
  });
});
