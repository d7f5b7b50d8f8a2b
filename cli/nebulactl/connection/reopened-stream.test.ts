import { strict as assert } from "node:assert";
import { Code, ConnectError } from "@connectrpc/connect";
import { ManualClock } from "../../../common/clock/manual-clock.ts";
import { reopened } from "./reopened-stream.ts";

/** An opening: the messages that come, and how it ends; `open`: it says nothing more. */
type Opening = Readonly<{ messages: readonly string[]; end: Code | "in_order" | "open" }>;

const broken = (end: Opening["end"], ...messages: string[]): Opening => ({ messages, end });

/** Reads a stream whose openings are these, the last one again and again, over a clock that a test moves. */
function read(openings: readonly Opening[], { limitMs, most = 100 }: { limitMs?: number; most?: number } = {}) {
  const clock = new ManualClock();
  const gone = new AbortController();
  const opened: { leftMs: number; until: AbortSignal }[] = [];
  const got: string[] = [];
  const breaks: unknown[] = [];
  async function* open(until: AbortSignal, leftMs: number): AsyncGenerator<string> {
    const { messages, end } = openings[Math.min(opened.length, openings.length - 1)] ?? broken("open");
    opened.push({ leftMs, until });
    yield* messages;
    if (end === "in_order") return;
    if (end !== "open") throw new ConnectError("it broke", end);
    await new Promise((_, reject) => until.addEventListener("abort", () => reject(new ConnectError("nothing more is read", Code.Canceled))));
  }
  const ended = (async () => {
    const messages = reopened({
      open,
      onBreak: (error) => void breaks.push(error),
      clock,
      signal: gone.signal,
      ...(limitMs === undefined ? {} : { limitMs }),
    });
    for await (const { opening, message } of messages) if (got.push(`${opening} ${message}`) === most) break;
  })();
  ended.catch(() => {});
  return { clock, opened, got, breaks, ended, leave: () => gone.abort(new Error("gone")) };
}

const failsWith = (code: Code) => (error: unknown) => error instanceof ConnectError && error.code === code;

describe("a stream that is opened again", () => {
  it("a stream that breaks is opened again after any end but a refusal, also if a proxy resets it, and each message has its opening", async () => {
    const stream = read([broken(Code.Unavailable, "a"), broken(Code.Canceled, "b"), broken("in_order", "c"), broken(Code.PermissionDenied, "d")]);
    await stream.clock.advance(60_000);
    await assert.rejects(stream.ended, failsWith(Code.PermissionDenied));
    assert.deepEqual(stream.got, ["0 a", "1 b", "2 c", "3 d"]);
    assert.deepEqual(
      stream.breaks.map((error) => (error instanceof ConnectError ? error.code : error)),
      [Code.Unavailable, Code.Canceled, undefined],
    );
  });

  it("a stream whose first opening fails is not opened again without a limit, and is with one until its time is over", async () => {
    const once = read([broken(Code.Unavailable)]);
    await assert.rejects(once.ended, failsWith(Code.Unavailable));
    assert.equal(once.opened.length, 1);
    const patient = read([broken(Code.Unavailable), broken(Code.Unavailable), broken("open", "a")], { limitMs: 60_000 });
    await patient.clock.advance(3000);
    assert.deepEqual(patient.got, ["2 a"]);
    const [first = 0, second = 0, third = 0] = patient.opened.map(({ leftMs }) => leftMs);
    assert.ok(first === 60_000 && second < first && third < second && Number.isInteger(second), `${first} ${second} ${third}`);
    const away = read([broken(Code.Unavailable)], { limitMs: 60_000 });
    await away.clock.advance(60_000);
    await assert.rejects(away.ended, failsWith(Code.Unavailable));
    assert.ok(away.opened.length >= 6 && away.opened.length <= 15, `${away.opened.length} openings in a minute`);
  });

  it("a stream is aborted when its reader has what it wants, when its signal is, and 30 s after its time is over", async () => {
    const left = read([broken("open", "a")], { most: 1 });
    await left.ended;
    const gone = read([broken("open", "a")]);
    await gone.clock.advance(0);
    assert.equal(gone.opened[0]?.until.aborted, false);
    gone.leave();
    await assert.rejects(gone.ended, /gone/);
    const silent = read([broken("open", "a")], { limitMs: 5000 });
    await silent.clock.advance(34_999);
    assert.equal(silent.opened[0]?.until.aborted, false);
    await silent.clock.advance(1);
    await assert.rejects(silent.ended, failsWith(Code.Canceled));
    for (const { opened, clock } of [left, gone, silent]) {
      assert.deepEqual(
        opened.map(({ until }) => until.aborted),
        [true],
      );
      assert.equal(clock.sleeping, 0, "a timer is left");
    }
  });
});
