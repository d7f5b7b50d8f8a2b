import { strict as assert } from "node:assert";
import fc from "fast-check";
import { isNebulaError } from "../errors/nebula-error.ts";
import { FairWork, FOR_KNOWN_CALLER, type Standing, type WorkFor } from "./fair-work.ts";

const one: WorkFor = { standing: "clean", network: "192.0.2.0/24" };

/** Pieces of work whose ends a test decides. */
class Rig {
  readonly begun: string[] = [];
  readonly refused: string[] = [];
  readonly work: FairWork;
  readonly #ends: (() => void)[] = [];

  constructor(bounds: { atOnce: number; waiting: number; kept: number }) {
    this.work = new FairWork({ what: "checks", ...bounds });
  }

  get running(): number {
    return this.#ends.length;
  }

  /** Asks for a piece; its name is in `begun` or `refused` once that is decided. */
  async ask(name: string, workFor: WorkFor): Promise<void> {
    const piece = () => {
      this.begun.push(name);
      return new Promise<void>((resolve) => this.#ends.push(resolve));
    };
    this.work.run(piece, workFor).catch((error) => {
      assert.ok(isNebulaError(error, "resource_exhausted") && error.retryAfterMs !== undefined, String(error));
      this.refused.push(name);
    });
    await new Promise<void>((resolve) => setImmediate(resolve));
  }

  async end(): Promise<void> {
    this.#ends.shift()?.();
    await new Promise<void>((resolve) => setImmediate(resolve));
  }

  async endAll(): Promise<void> {
    while (this.running > 0) await this.end();
  }
}

describe("work that is shared out", () => {
  const setUp = () => ({ work: new FairWork({ what: "checks", atOnce: 2, waiting: 2, kept: 0 }), first: Promise.withResolvers<void>() });

  it("fair work is done a few pieces at a time, the rest in order", async () => {
    const work = new FairWork({ what: "checks", atOnce: 2, waiting: 10, kept: 0 });
    const begun: number[] = [];
    let running = 0;
    let most = 0;
    await Promise.all(
      [0, 1, 2, 3, 4, 5, 6].map((each) =>
        work.run(async () => {
          begun.push(each);
          running += 1;
          most = Math.max(most, running);
          await new Promise(setImmediate);
          running -= 1;
        }, one),
      ),
    );
    assert.deepEqual(begun, [0, 1, 2, 3, 4, 5, 6]);
    assert.equal(most, 2);
  });

  it("fair work is refused where too much waits, and accepted again when that is done", async () => {
    const { work, first } = setUp();
    const busy = [1, 2, 3, 4].map(() => work.run(() => first.promise, one));
    await assert.rejects(
      work.run(async () => {}, one),
      (error) => isNebulaError(error, "resource_exhausted"),
    );
    first.resolve();
    await Promise.all(busy);
    assert.equal(await work.run(async () => "done", one), "done");
  });

  it("cancelled work frees its place and never runs", async () => {
    const { work, first } = setUp();
    const gone = new AbortController();
    const running = [1, 2].map(() => work.run(() => first.promise, one));
    let done = false;
    const left = work.run(
      async () => {
        done = true;
      },
      one,
      gone.signal,
    );
    const waiting = work.run(async () => {}, one);
    gone.abort(new Error("gone"));
    await assert.rejects(left, /gone/);
    const another = work.run(async () => {}, one); // in the room that was made
    first.resolve();
    await Promise.all([...running, waiting, another]);
    assert.equal(done, false);
  });

  it("work that fails gives its place to the next", async () => {
    const { work } = setUp();
    const failing = [1, 2, 3].map(() => work.run(() => Promise.reject(new Error("failed")), one));
    const next = work.run(async () => "next", one);
    for (const each of failing) await assert.rejects(each, /failed/);
    assert.equal(await next, "next");
  });

  const of = (standing: Standing, network: string): WorkFor => ({ standing, network });

  it("pieces of networks begin in turn, however many one of them has (B4)", async () => {
    const rig = new Rig({ atOnce: 1, waiting: 20, kept: 0 });
    for (let piece = 0; piece < 6; piece++) await rig.ask(`a${piece}`, of("clean", "a"));
    for (const name of ["b0", "b1", "c0"]) await rig.ask(name, of("clean", name.charAt(0)));
    await rig.endAll();
    assert.deepEqual(rig.begun, ["a0", "a1", "b0", "c0", "a2", "b1", "a3", "a4", "a5"]);
  });

  it("addresses that did not fail have places of their own, and come first (B2, B4)", async () => {
    const rig = new Rig({ atOnce: 1, waiting: 8, kept: 3 });
    for (let piece = 0; piece < 10; piece++) await rig.ask(`f${piece}`, of("failed", `network ${piece}`));
    assert.deepEqual(rig.refused, ["f6", "f7", "f8", "f9"], "one runs and five wait");
    for (let piece = 0; piece < 4; piece++) await rig.ask(`c${piece}`, of("clean", `other ${piece}`));
    assert.deepEqual(rig.refused, ["f6", "f7", "f8", "f9", "c3"]);
    await rig.endAll();
    assert.deepEqual(rig.begun, ["f0", "c0", "c1", "f1", "c2", "f2", "f3", "f4", "f5"]);
  });

  it("the network with the most waiting pieces makes room for another one (B3)", async () => {
    const rig = new Rig({ atOnce: 1, waiting: 4, kept: 0 });
    for (let piece = 0; piece < 6; piece++) await rig.ask(`a${piece}`, of("clean", "a"));
    assert.deepEqual(rig.refused, ["a5"]);
    await rig.ask("b0", of("clean", "b"));
    await rig.ask("b1", of("clean", "b"));
    assert.deepEqual(rig.refused, ["a5", "a4", "a3"]);
    await rig.ask("b2", of("clean", "b"));
    await rig.ask("a6", of("clean", "a"));
    assert.deepEqual(rig.refused, ["a5", "a4", "a3", "b2", "a6"], "two each: none makes room for a third");
    await rig.endAll();
    assert.deepEqual(rig.begun, ["a0", "a1", "b0", "a2", "b1"]);
  });

  it("a known caller neither waits behind others nor is refused for them (B4)", async () => {
    const rig = new Rig({ atOnce: 2, waiting: 4, kept: 1 });
    for (let piece = 0; piece < 9; piece++) await rig.ask(`c${piece}`, of("clean", `network ${piece}`));
    await rig.ask("known", FOR_KNOWN_CALLER);
    await rig.end();
    assert.equal(rig.begun[2], "known");
    assert.ok(!rig.refused.includes("known"));
  });

  it("fair work holds its bounds and turns under any arrivals, and does everything that it took (B1 to B4)", async () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant("ask" as const),
        standing: fc.constantFrom<Standing>("known", "clean", "failed"),
        network: fc.constantFrom("a", "b", "c", "d"),
      }),
      fc.record({ kind: fc.constant("end" as const) }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40 }),
        fc.record({ atOnce: fc.integer({ min: 1, max: 3 }), waiting: fc.integer({ min: 2, max: 6 }) }),
        async (steps, sizes) => {
          const bounds = { ...sizes, kept: 1 };
          const rig = new Rig(bounds);
          const asked: { name: string; standing: Standing; network: string }[] = [];
          for (const [at, step] of steps.entries()) {
            const decided = new Set([...rig.begun, ...rig.refused]);
            const waiting = asked.filter(({ name }) => !decided.has(name));
            if (step.kind === "end") {
              const before = rig.begun.length;
              const hadWaiting = waiting.length > 0 && rig.running > 0;
              await rig.end();
              assert.equal(rig.begun.length, hadWaiting ? before + 1 : before, "B1: a place that is free is taken at once");
              const begun = asked.find(({ name }) => name === rig.begun[before]);
              if (begun !== undefined && waiting.some(({ standing }) => standing === "known")) assert.equal(begun.standing, "known");
              continue;
            }
            const piece = { name: `${at}`, standing: step.standing, network: step.network };
            asked.push(piece);
            await rig.ask(piece.name, piece);
            const after = asked.filter(({ name }) => !rig.begun.includes(name) && !rig.refused.includes(name));
            assert.ok(rig.running <= bounds.atOnce, "B1");
            const unknown = after.filter(({ standing }) => standing !== "known");
            assert.ok(
              unknown.length <= bounds.waiting && unknown.filter(({ standing }) => standing === "failed").length <= bounds.waiting - bounds.kept,
              "B2",
            );
            if (rig.refused.includes(piece.name) && piece.standing !== "known") {
              const same = waiting.filter(({ standing }) => standing === piece.standing);
              const own = same.filter(({ network }) => network === piece.network).length;
              for (const network of "abcd") assert.ok(same.filter((each) => each.network === network).length <= own + 1, "B3");
            }
          }
          await rig.endAll();
          assert.equal(rig.begun.length + rig.refused.length, asked.length);
        },
      ),
      { numRuns: 200 },
    );
  });
});
