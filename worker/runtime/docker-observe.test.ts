import assert from "node:assert/strict";
import type { ObservedContainer } from "./container-runtime.ts";
import { InspectCache } from "./docker-observe.ts";

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

  it("is used while events are read, for a minute", async () => {
    const cache = new InspectCache();
    const get = counting(cache);
    assert.deepEqual([await get(0), await get(0)], [1, 2]);
    const end = cache.watch();
    assert.deepEqual([await get(0), await get(0), await get(59_999), await get(60_000)], [3, 3, 3, 4]);
    end();
    assert.equal(await get(60_000), 5);
  });

  it("is not used once the list shows another state, or an event came", async () => {
    const cache = new InspectCache();
    const get = counting(cache);
    cache.watch();
    assert.deepEqual([await get(0), await get(0, { ...listed, phase: "exited" })], [1, 2]);
    cache.touch(id);
    assert.equal(await get(0, { ...listed, phase: "exited" }), 3);
  });

  it("is not made of an inspect that something happened during", async () => {
    const cache = new InspectCache();
    cache.watch();
    await cache.get(listed, 0, async () => {
      cache.touch(id);
      return listed;
    });
    assert.equal(await counting(cache)(0), 1);
  });
});
