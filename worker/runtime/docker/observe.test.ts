import assert from "node:assert/strict";
import type { ObservedContainer } from "../container-runtime.ts";
import { InspectCache } from "./observe.ts";

const id = "3f4e8c1b9a7d52604e8f1c3b5a7d9e0f2143658709badcfe3f4e8c1b9a7d5260";

describe("what is kept of inspects", () => {
  const listed: ObservedContainer = {
    id,
    name: "web-1",
    labels: {},
    phase: "running",
    health: "none",
    image: "busybox:1",
    imageId: "",
    hostPorts: [],
    networks: [],
    networkIds: [],
    createdAt: 0,
    startedAt: undefined,
    finishedAt: undefined,
    exitCode: undefined,
    restartCount: 0,
  };

  function counting(cache: InspectCache) {
    let asked = 0;
    const get = async (now: number, container = listed) => {
      await cache.get(container, now, async () => {
        asked++;
        return container;
      });
      return asked;
    };
    return get;
  }

  it("an inspect is used while events are read, for 45 s to a minute", async () => {
    const cache = new InspectCache();
    const get = counting(cache);
    assert.deepEqual([await get(0), await get(0)], [1, 2]);
    const end = cache.watch();
    assert.deepEqual([await get(0), await get(0), await get(44_999), await get(60_000)], [3, 3, 3, 4]);
    end();
    assert.equal(await get(60_000), 5);
  });

  it("an inspect is used for ages that are spread, so that a thousand containers are never inspected at once", async () => {
    const cache = new InspectCache();
    cache.watch();
    let asked = 0;
    const look = async (now: number) => {
      const before = asked;
      for (let n = 0; n < 1000; n++) {
        const container = {
          ...listed,
          id: Math.floor((n * 2 ** 32) / 1000)
            .toString(16)
            .padStart(8, "0"),
        };
        await cache.get(container, now, async () => {
          asked++;
          return container;
        });
      }
      return asked - before;
    };
    assert.equal(await look(0), 1000);
    const later = [];
    for (let now = 44_000; now <= 60_000; now += 1000) later.push(await look(now));
    assert.equal(
      later.reduce((sum, count) => sum + count, 0),
      1000,
    );
    assert.ok(Math.max(...later) <= 100, later.join(" "));
  });

  it("an earlier inspect stands in for the fields that no list has, where there is no new inspect", async () => {
    const cache = new InspectCache();
    await cache.get(listed, 0, async () => ({ ...listed, startedAt: 5, restartCount: 2, hostPorts: [{ hostPort: 80, protocol: "tcp" }] }));
    const shown = cache.listedOnly({ ...listed, phase: "exited" }, "no answer");
    assert.deepEqual([shown.phase, shown.startedAt, shown.restartCount, shown.hostPorts.length], ["exited", 5, 2, 1]);
    assert.deepEqual(shown.listedOnly, { failure: "no answer" });
    cache.retain(new Set());
    assert.deepEqual(cache.listedOnly(listed, undefined), { ...listed, listedOnly: { failure: undefined } });
  });

  it("an inspect is not used once the list shows another state, or an event came", async () => {
    const cache = new InspectCache();
    const get = counting(cache);
    cache.watch();
    assert.deepEqual([await get(0), await get(0, { ...listed, phase: "exited" })], [1, 2]);
    cache.touch(id);
    assert.equal(await get(0, { ...listed, phase: "exited" }), 3);
  });

  it("an inspect during which something happened is not kept", async () => {
    const cache = new InspectCache();
    cache.watch();
    await cache.get(listed, 0, async () => {
      cache.touch(id);
      return listed;
    });
    assert.equal(await counting(cache)(0), 1);
  });
});
