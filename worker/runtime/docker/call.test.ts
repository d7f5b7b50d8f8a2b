import assert from "node:assert/strict";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { callDocker } from "./call.ts";

describe("a call to the engine", () => {
  const call = { signal: new AbortController().signal, limitMs: 20, where: "here", what: "start container" };
  const hang = (signal: AbortSignal) => new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

  it("a call to the engine ends when its time is over", async () => {
    await assert.rejects(callDocker(call, hang), (error) => isNebulaError(error, "deadline_exceeded") && error.message.includes("start container"));
  });

  it("a call to the engine ends with its caller's signal", async () => {
    const caller = new AbortController();
    const ended = callDocker({ ...call, limitMs: 60_000, signal: caller.signal }, hang);
    caller.abort();
    await assert.rejects(ended, (error) => isNebulaError(error, "cancelled"));
  });
});
