import { strict as assert } from "node:assert";
import { processFigures } from "./process-figures.ts";

describe("processFigures", () => {
  it("are the kernel's own of this process", () => {
    const before = processFigures(process.pid);
    const kept = Buffer.alloc(64 * 1024 * 1024, 1);
    const end = performance.now() + 100;
    while (performance.now() < end);
    const after = processFigures(process.pid);
    assert.ok(after.rssBytes - before.rssBytes > 0.9 * kept.length, `${after.rssBytes - before.rssBytes} bytes more`);
    const used = process.cpuUsage();
    const own = (used.user + used.system) / 1000;
    assert.ok(Math.abs(after.cpuMs - own) < 50, `${after.cpuMs} ms, by Node itself ${own}`);
    assert.ok(after.cpuMs > before.cpuMs);
  });
});
