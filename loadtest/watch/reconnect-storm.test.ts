import { strict as assert } from "node:assert";
import { splitProcessors } from "../processes/processors.ts";
import { benchStorm, stormLines } from "./reconnect-storm.ts";

describe("the bench of a reconnect storm", function () {
  this.timeout(120_000);

  before(function () {
    if (process.platform !== "linux") this.skip();
  });

  it("the bench of a reconnect storm measures both managers, with and without presence, in every part", async () => {
    const processors = splitProcessors();
    const said: string[] = [];
    const result = await benchStorm({
      devices: 400,
      rounds: 1,
      settleMs: 100,
      serverProcessors: processors.server,
      fleetProcessors: processors.fleet,
      signal: new AbortController().signal,
      say: (line) => said.push(line),
    });
    for (const figures of [result.without, result.with]) assert.ok(figures.arriving > 0 && figures.returning > 0, JSON.stringify(result));
    assert.equal(said.length, 1);
    const lines = stormLines(result);
    assert.ok(lines.length === 3 && lines.every((line) => !/NaN|undefined/.test(line)), lines.join("\n"));
  });
});
