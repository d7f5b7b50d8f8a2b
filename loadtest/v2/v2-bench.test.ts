import { strict as assert } from "node:assert";
import { splitProcessors } from "../processes/processors.ts";
import { benchV2, POLLED, WAYS } from "./v2-bench.ts";
import { v2Tables } from "./v2-table.ts";

describe("the bench of REST v2", function () {
  this.timeout(60_000);

  before(function () {
    if (process.platform !== "linux") this.skip();
  });

  it("the bench of REST v2 polls each server in each way, and every connection is answered without the store", async () => {
    const { signal } = new AbortController();
    const options = { runs: 1, connections: 10, warmUpMs: 100, measureMs: 400, sliceMs: 150, processors: splitProcessors(), signal, say: () => {} };
    const { runs, bodyBytes } = await benchV2(options);
    assert.deepEqual(
      runs.map(({ way, polled }) => `${way}, ${polled}`),
      WAYS.flatMap((way) => POLLED.map((polled) => `${way}, ${polled}`)),
    );
    assert.ok(bodyBytes > 3000, `${bodyBytes} bytes for 5 apps`);
    for (const { way, polled, figures } of runs) {
      const which = `${way}, ${polled}: ${JSON.stringify(figures)}`;
      assert.ok(Object.values(figures).every(Number.isFinite), which);
      assert.ok(figures.requestsPerSecond > 0 && figures.p99Ms >= figures.p50Ms && figures.slowestShare > 0, which);
      assert.ok(figures.storeCalls < 20, which);
    }
    const table = v2Tables(runs);
    assert.ok(table.length > 15 && table.every((line) => !/NaN|undefined/.test(line)), table.join("\n"));
  });
});
