import { strict as assert } from "node:assert";
import { processFigures } from "./process-figures.ts";

describe("processFigures", () => {
  it("processFigures are those that Node has of its own process", () => {
    const { rssBytes, cpuMs } = processFigures(process.pid);
    const rss = process.memoryUsage.rss();
    assert.ok(Math.abs(rssBytes - rss) < 0.1 * rss, `${rssBytes} bytes, by Node itself ${rss}`);
    const { user, system } = process.cpuUsage();
    const own = (user + system) / 1000;
    assert.ok(Math.abs(cpuMs - own) < 50, `${cpuMs} ms, by Node itself ${own}`);
  });

  it("processFigures rise with the work that is done", () => {
    const before = processFigures(process.pid).cpuMs;
    const end = process.cpuUsage().user + 100_000;
    while (process.cpuUsage().user < end);
    assert.ok(processFigures(process.pid).cpuMs >= before + 80);
  });
});
