import { strict as assert } from "node:assert";
import { runTogether } from "./run-together.ts";

describe("the parts of a worker", () => {
  /** Ends with the signal alone, as a part should. */
  const untilAborted = (signal: AbortSignal) => new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));

  it("parts end together when one of them rejects, and with its error", async () => {
    let isEnded = false;
    const running = runTogether(new AbortController().signal, (signal) => ({
      reconciler: untilAborted(signal).then(() => (isEnded = true)),
      reports: Promise.reject(new Error("a fault")),
    }));
    await assert.rejects(running, /^Error: a fault$/);
    assert.ok(isEnded);
  });

  it("parts end together when one of them returns before the stop, which is an error with its name", async () => {
    let isEnded = false;
    const running = runTogether(new AbortController().signal, (signal) => ({
      reconciler: untilAborted(signal).then(() => (isEnded = true)),
      watch: Promise.resolve(),
    }));
    await assert.rejects(running, /watch ended before the worker was stopped/);
    assert.ok(isEnded);
  });

  it("parts end without an error when they are stopped", async () => {
    const stopping = new AbortController();
    const running = runTogether(stopping.signal, (signal) => ({ reconciler: untilAborted(signal), watch: untilAborted(signal) }));
    stopping.abort();
    await running;
  });
});
