import assert from "node:assert/strict";
import { statfsSync } from "node:fs";
import fc from "fast-check";
import { eventually } from "../../common/testing/eventually.ts";
import { cpuTimes, HostFigures, parseMeminfo, usedPercent } from "./host.ts";

const engine = {
  hostname: "edge",
  cores: 2,
  memoryBytes: 1,
  engineVersion: "20.10.24",
  apiVersion: "1.41",
  os: "Debian GNU/Linux 12",
  arch: "x86_64",
  clock: 0,
  ownContainerId: undefined,
  rootDir: "/",
};

describe("figures of the machine", () => {
  it("host metrics are those of this machine", async () => {
    const figures = await new HostFigures().measure(engine);
    assert.equal(figures.hostname, "edge");
    assert.equal(figures.cpuCores, 2);
    assert.equal(figures.engineVersion, "20.10.24");
    assert.ok(figures.memoryAvailableBytes > 0n && figures.memoryAvailableBytes < figures.memoryTotalBytes);
    const { bsize, blocks } = statfsSync("/", { bigint: true });
    assert.equal(figures.diskTotalBytes, bsize * blocks);
    assert.ok(figures.diskFreeBytes > 0n && figures.diskFreeBytes < figures.diskTotalBytes);
    assert.ok(figures.uptimeSeconds > 0n);
  });

  it("host metrics are of the disk that the engine fills, and in a container of the container's own", async () => {
    const totalOf = async (path: string, ownContainerId: string | undefined) =>
      (await new HostFigures().measure({ ...engine, rootDir: path, ownContainerId })).diskTotalBytes;
    const { bsize, blocks } = statfsSync("/dev/shm", { bigint: true });
    const root = statfsSync("/", { bigint: true });
    assert.notEqual(bsize * blocks, root.bsize * root.blocks, "the test needs two disks");
    assert.equal(await totalOf("/dev/shm", undefined), bsize * blocks);
    assert.equal(await totalOf("/dev/shm", "c0ffee"), root.bsize * root.blocks);
    assert.equal(await totalOf("/no/such/folder", undefined), 0n, "what can't be measured");
  });

  it("host metrics show the CPU that is used meanwhile", async () => {
    const host = new HostFigures();
    await eventually(async () => {
      const end = performance.now() + 50;
      while (performance.now() < end); // one core is busy
      const { cpuUsedPercent } = await host.measure(engine);
      assert.ok(cpuUsedPercent > 0 && cpuUsedPercent <= 100, `${cpuUsedPercent}`);
    });
  });

  it("host metrics never leave 0 to 100 percent, also when a core comes or goes", () => {
    const core = fc.record({ times: fc.record({ user: fc.nat(), sys: fc.nat(), idle: fc.nat(), irq: fc.nat() }) });
    fc.assert(
      fc.property(fc.array(core), fc.array(core), (a, b) => {
        const used = usedPercent(cpuTimes(a), cpuTimes(b));
        assert.ok(used === undefined || (used >= 0 && used <= 100));
      }),
    );
    assert.equal(usedPercent({ busyMs: 100, idleMs: 100 }, { busyMs: 125, idleMs: 175 }), 25);
    assert.equal(usedPercent({ busyMs: 1, idleMs: 1 }, { busyMs: 1, idleMs: 1 }), undefined);
  });

  it("host metrics take memory from the kernel's own estimate", () => {
    const text = "MemTotal:        2048 kB\nMemFree:          100 kB\nMemAvailable:    1024 kB\nHugePages_Total:       0\n";
    assert.deepEqual(parseMeminfo(text), { totalBytes: 2048 * 1024, availableBytes: 1024 * 1024 });
    assert.equal(parseMeminfo("MemTotal: 2048 kB\n"), undefined);
  });
});
