import { strict as assert } from "node:assert";
import { figuresTable } from "../measure/table.ts";
import { splitProcessors } from "../processes/processors.ts";
import { idleTrafficLines, measureIdleTraffic, monthBytes } from "./idle-traffic.ts";
import { benchWatches, subjectsHere } from "./watch-bench.ts";

describe("the bench of watches", function () {
  this.timeout(60_000);
  const { signal } = new AbortController();

  before(function () {
    if (process.platform !== "linux") this.skip();
  });

  it("the bench of watches runs every available subject through everything", async () => {
    const processors = splitProcessors();
    const subjects = subjectsHere();
    const { runs, medians } = await benchWatches({
      runs: 1,
      subjects,
      devices: 200,
      pushes: 3,
      reconnecting: 50,
      settleMs: 100,
      pushesToFill: 8,
      fleetProcessors: processors.fleet,
      subject: { payloadBytes: 2048, processors: processors.server, signal },
      signal,
      say: () => {},
    });
    assert.deepEqual(
      runs.map(({ subject }) => subject),
      subjects,
    );
    for (const { subject, figures } of runs) {
      for (const [name, value] of Object.entries(figures)) assert.ok(Number.isFinite(value), `${subject}: ${name} is ${value}`);
      assert.ok(figures.reconnectedMs > 0 && figures.connectionsPerSecond > 0 && figures.bytesPerDevice > 0, subject);
      assert.ok(figures.cpuUsPerReport === undefined || figures.cpuUsPerReport >= 0, subject);
    }
    const table = figuresTable(medians, "nebula");
    assert.ok(table.length > 10 && table.every((line) => !/NaN|undefined/.test(line)), table.join("\n"));
  });

  it("the bench of watches counts the traffic of an idle device", async () => {
    const traffic = await measureIdleTraffic({ pings: 3, everyMs: 100, processors: undefined, signal });
    assert.ok(
      traffic.pingBytes > 34 && traffic.reportBytes > traffic.pingBytes && traffic.reconnectBytes > traffic.reportBytes,
      JSON.stringify(traffic),
    );
    assert.ok(monthBytes(traffic, 5 * 60_000) < 2.5e6);
    assert.ok(monthBytes(traffic, 12 * 60_000) < 1e6);
    assert.equal(idleTrafficLines(traffic).length, 6);
  });
});
