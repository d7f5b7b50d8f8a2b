import { strict as assert } from "node:assert";
import fc from "fast-check";
import { SharedWork } from "./shared-work.ts";

function start() {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let signal: AbortSignal | undefined;
  const work = new SharedWork<string>((given) => {
    signal = given;
    given.addEventListener("abort", () => reject(given.reason), { once: true });
    return promise;
  });
  return { work, resolve, isAborted: () => signal?.aborted };
}

describe("SharedWork", () => {
  it("S1: shared work continues for one caller that stays, however many leave, and each gets its own end (any order)", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }), async (stays) => {
        const { work, resolve, isAborted } = start();
        const callers = stays.map((stay) => ({ stay, gone: new AbortController() }));
        const ends = callers.map(({ gone }) => work.join(gone.signal).catch((reason) => reason));
        for (const [index, { stay, gone }] of callers.entries()) if (!stay) gone.abort(`caller ${index} has gone`);
        const somebodyStays = stays.includes(true);
        assert.equal(isAborted(), !somebodyStays);
        assert.equal(work.abandoned, !somebodyStays);
        resolve("done");
        assert.deepEqual(
          await Promise.all(ends),
          stays.map((stay, index) => (stay ? "done" : `caller ${index} has gone`)),
        );
      }),
    );
  });

  it("S1: shared work is never aborted where a caller has no signal, nor after its outcome", async () => {
    const { work, resolve, isAborted } = start();
    const gone = new AbortController();
    const [first, second] = [work.join(gone.signal), work.join()];
    gone.abort("gone");
    await assert.rejects(first, (reason) => reason === "gone");
    assert.equal(isAborted(), false);
    resolve("done");
    assert.equal(await second, "done");
    const late = new AbortController();
    late.abort("late");
    assert.equal(await work.join(late.signal), "done");
    assert.equal(work.abandoned, false);
  });

  it("shared work is abandoned at once by a caller that had gone before it came", async () => {
    const { work } = start();
    await assert.rejects(work.join(AbortSignal.abort("gone")), (reason) => reason === "gone");
    assert.equal(work.abandoned, true);
  });
});
