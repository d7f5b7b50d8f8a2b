import assert from "node:assert/strict";
import fc from "fast-check";
import { afterLocate, afterWatch, FIRST_STATE, type LocateOutcome, type Move, WATCH_TIMING, type WatchOutcome, type WatchState } from "./moves.ts";

const context = { timing: WATCH_TIMING, random: () => 0.5 };
const unreachable: WatchOutcome = { kind: "unreachable", reason: "no answer" };
const redirect = (address: string, retryAfterMs = 0): WatchOutcome => ({ kind: "redirect", address, retryAfterMs });
const located = (...addresses: string[]): LocateOutcome => ({ kind: "located", addresses });

/** Plays outcomes against the moves; answers the moves, as `locate`, `a` or `a!` (serve_here). */
function play(map: readonly string[], outcomes: readonly WatchOutcome[]): readonly string[] {
  let { state, move } = afterLocate(FIRST_STATE, located(...map), context);
  const moves = [shown(move)];
  for (const outcome of outcomes) {
    assert.equal(move.kind, "dial");
    if (move.kind !== "dial") break;
    ({ state, move } = afterWatch(state, move, outcome, context));
    moves.push(shown(move));
  }
  return moves;
}

function shown(move: Move): string {
  return move.kind === "locate" ? "locate" : `${move.address}${move.serveHere ? "!" : ""}`;
}

describe("where a worker goes on", () => {
  it("a worker dials the first of the map, and follows a redirect", () => {
    assert.deepEqual(play(["a", "b"], [redirect("b")]), ["a", "b"]);
  });

  it("a worker has the second shard that redirects serve it", () => {
    assert.deepEqual(play(["a", "b"], [redirect("b"), redirect("a")]), ["a", "b", "b!"]);
    assert.deepEqual(play(["a"], [redirect("a"), redirect("a")]), ["a", "a", "a!"]);
  });

  it("a worker has the shard that redirected serve it when the target cannot be reached", () => {
    assert.deepEqual(play(["a", "b"], [redirect("z"), unreachable]), ["a", "z", "a!"]);
  });

  it("a worker has the next of the map serve it when no shard redirected, or that one is gone too", () => {
    assert.deepEqual(play(["a", "b", "c"], [unreachable, unreachable, unreachable]), ["a", "b!", "c!", "locate"]);
    assert.deepEqual(play(["a", "b", "c"], [redirect("z"), unreachable, unreachable, unreachable]), ["a", "z", "a!", "b!", "c!"]);
    assert.deepEqual(play(["a", "b"], [unreachable, redirect("a")]), ["a", "b!", "locate"]);
  });

  it("a worker asks for the map again when the watch ends, and when a shard hands it over", () => {
    assert.deepEqual(play(["a"], [{ kind: "ended", uptimeMs: 1, reason: "" }]), ["a", "locate"]);
    assert.deepEqual(play(["a"], [{ kind: "relocate", uptimeMs: 1, retryAfterMs: 100 }]), ["a", "locate"]);
  });

  it("a worker continues with its map while no server answers with a new one", () => {
    const known: WatchState = { ...FIRST_STATE, map: ["a", "b"] };
    const { move } = afterLocate(known, { kind: "unreachable", reason: "" }, context);
    assert.equal(shown(move), "a");
    assert.ok(move.waitMs > 0);
    assert.equal(shown(afterLocate(FIRST_STATE, { kind: "unreachable", reason: "" }, context).move), "locate");
    assert.equal(shown(afterLocate(known, located(), context).move), "locate");
  });

  it("a worker waits for the time that the shard names, jittered", () => {
    for (const random of [0, 0.999]) {
      const { move } = afterWatch(
        FIRST_STATE,
        { address: "a", serveHere: false },
        { kind: "relocate", uptimeMs: 60_000, retryAfterMs: 4000 },
        { ...context, random: () => random },
      );
      assert.ok(move.waitMs >= 2000 && move.waitMs < 6000, `${move.waitMs}`);
    }
  });

  it("a worker waits longer with every failure, up to the cap, and starts again from the least after a watch that lasted", () => {
    const most = { ...context, random: () => 0.999999 };
    let state = FIRST_STATE;
    const waits: number[] = [];
    for (let n = 0; n < 40; n++) {
      const next = afterWatch(state, { address: "a", serveHere: false }, { kind: "failed", reason: "" }, most);
      state = next.state;
      waits.push(Math.round(next.move.waitMs));
    }
    assert.deepEqual(waits.slice(0, 7), [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    assert.equal(waits.at(-1), 30_000);
    const lasted = afterWatch(state, { address: "a", serveHere: false }, { kind: "ended", uptimeMs: 10_000, reason: "" }, most);
    assert.equal(Math.round(lasted.move.waitMs), 1000);
    assert.equal(lasted.state.failures, 0);
  });

  it("a worker retries slowly when it is refused", () => {
    const refused = { kind: "refused", problem: "unauthenticated", reason: "" } as const;
    for (const random of [() => 0, () => 0.999]) {
      const moves = [
        afterLocate(FIRST_STATE, refused, { ...context, random }),
        afterWatch(FIRST_STATE, { address: "a", serveHere: false }, refused, { ...context, random }),
      ];
      for (const { move } of moves) {
        assert.equal(move.kind, "locate");
        assert.ok(move.waitMs >= 30_000 && move.waitMs <= 60_000);
      }
    }
  });

  it("a worker follows at most two redirects, asks for the map again, and never spins, after any outcomes", () => {
    const address = fc.constantFrom("a", "b", "c", "z");
    const outcome: fc.Arbitrary<WatchOutcome> = fc.oneof(
      fc.constant(unreachable),
      fc.record({ kind: fc.constant("redirect" as const), address, retryAfterMs: fc.constantFrom(0, 50) }),
      fc.record({ kind: fc.constant("relocate" as const), uptimeMs: fc.constant(0), retryAfterMs: fc.constant(0) }),
      fc.constant({ kind: "failed" as const, reason: "" }),
      fc.constant({ kind: "ended" as const, uptimeMs: 5, reason: "" }),
    );
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.constantFrom("a", "b", "c"), { minLength: 1 }),
        fc.array(outcome, { minLength: 60, maxLength: 60 }),
        (map, outcomes) => {
          let { state, move } = afterLocate(FIRST_STATE, located(...map), context);
          let inARow = 0;
          let plain = 0;
          let waits = 0;
          for (const next of outcomes) {
            waits += move.waitMs;
            if (move.kind === "locate") {
              ({ state, move } = afterLocate(state, located(...map), context));
              [inARow, plain] = [0, 0];
              continue;
            }
            inARow++;
            if (!move.serveHere) plain++;
            assert.ok(plain <= 2, "more than two redirects were followed");
            assert.ok(inARow <= map.length + 3, "the map was not asked for again");
            ({ state, move } = afterWatch(state, move, next, context));
          }
          assert.ok(waits > 5000, `60 failures within ${waits} ms`);
        },
      ),
    );
  });
});
