import { strict as assert } from "node:assert";
import type { BusMessage } from "../../common/bus/report-bus.ts";
import { collect } from "../../common/bus/report-bus-contract.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { freshTopic, requireStoppableServer } from "../../common/testing/servers.ts";
import type { TestContainer } from "../../common/testing/test-container.ts";
import { type Fault, FaultProxy } from "../harness/fault-proxy.ts";
import { makeTopic, metricValue, openBus, ReportFlow } from "./report-flow.ts";

const LONG = process.env.NEBULA_TEST_LONG === "1";
/** Longer than a request may take, so that a fault is noticed by its silence alone. */
const FAULT_MS = LONG ? 30_000 : 7_000;

describe("reports on Kafka", function () {
  this.timeout(180_000);
  let address = "";
  let container: TestContainer;
  let proxied: Readonly<{ target: string; port: number }>;
  before("start Kafka", async function () {
    const server = await requireStoppableServer(this, "kafka");
    assert.ok(server.proxied);
    ({ address, container, proxied } = { ...server, proxied: server.proxied });
  });

  it("no restart of the broker loses reports, and they keep their order", async () => {
    const topic = freshTopic();
    await makeTopic(address, topic);
    await using bus = await openBus(address, topic);
    await using reader = collect(bus);
    await reader.joined;
    await using flow = new ReportFlow(bus);
    await eventually(() => flow.count >= 50 && reader.seen.length >= 50);
    await container.kill();
    try {
      await eventually(async () => (await metricValue(bus.registry, "nebula_bus_publish_failures_total")) > 0);
    } finally {
      await container.startAgain();
    }
    const before = flow.count;
    await eventually(() => flow.count >= before + 50, { timeoutMs: 30_000 });
    await flow.stop();
    await eventually(() => flow.isSeenBy(reader.seen), { timeoutMs: 60_000 });
    flow.assertInOrder(reader.seen);
  });

  for (const fault of ["black hole", "delay", "cut", "half-open", "refuse"] satisfies Fault[]) {
    it(`no fault of the network loses reports, and they flow again after it: ${fault}`, async () => {
      const topic = freshTopic();
      await makeTopic(address, topic);
      await using proxy = await FaultProxy.start(proxied);
      await using bus = await openBus(proxy.address, topic);
      await using reader = collect(bus);
      await reader.joined;
      await using flow = new ReportFlow(bus);
      await eventually(() => flow.count >= 20 && reader.seen.length >= 20);
      await proxy.set(fault);
      const begun = performance.now();
      await eventually(() => performance.now() - begun >= (fault === "black hole" || LONG ? FAULT_MS : 2_000), { timeoutMs: FAULT_MS * 2 });
      assert.ok(proxy.struck[fault] > 0, "the fault did not happen");
      await proxy.set(undefined);
      const before = flow.count;
      await eventually(() => flow.count >= before + 50, { timeoutMs: 30_000 });
      await flow.stop();
      await eventually(() => flow.isSeenBy(reader.seen), { timeoutMs: 40_000 });
      flow.assertInOrder(reader.seen);
    });
  }

  it("reports are handled by one reader at a time while readers come and go, and none is lost", async () => {
    const topic = freshTopic();
    await makeTopic(address, topic);
    await using bus = await openBus(address, topic);
    await using flow = new ReportFlow(bus);
    const handling = new Set<string | null>();
    const doubled: (string | null)[] = [];
    const handler = async (batch: readonly { key: string | null }[]) => {
      const keys = new Set(batch.map(({ key }) => key));
      doubled.push(...[...keys].filter((key) => handling.has(key)));
      for (const key of keys) handling.add(key);
      await new Promise((resolve) => setImmediate(resolve));
      for (const key of keys) handling.delete(key);
    };
    await using steadyBus = await openBus(address, topic);
    await using steady = collect(steadyBus, handler);
    await steady.joined;
    const others: BusMessage[][] = [];
    for (let round = 0; round < (LONG ? 20 : 3); round++) {
      await using otherBus = await openBus(address, topic);
      await using other = collect(otherBus, handler);
      await other.joined;
      await eventually(() => other.seen.length > 0, { timeoutMs: 20_000 });
      others.push(other.seen);
    }
    await flow.stop();
    const all = () => [steady.seen, ...others].flat();
    await eventually(() => flow.isSeenBy(all()), { timeoutMs: 30_000 });
    assert.deepEqual(doubled, []);
    assert.ok((await metricValue(steadyBus.registry, "nebula_bus_rebalances_total")) >= 4);
  });

  it("reports are left to another reader, and written no more, once no broker has answered a reader for a session", async function () {
    if (!LONG) this.timeout(60_000);
    const topic = freshTopic();
    await makeTopic(address, topic, 1);
    await using proxy = await FaultProxy.start(proxied);
    await using publisher = await openBus(address, topic);
    await using cutOff = await openBus(proxy.address, topic);
    const lost = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    await using first = collect(cutOff, async (_batch, signal) => {
      begun.resolve();
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      lost.resolve();
      throw signal.reason;
    });
    await first.joined;
    await publisher.publish({ key: "device-a", value: Buffer.from("one") }, new AbortController().signal);
    await begun.promise;
    await proxy.set("black hole");
    await using other = await openBus(address, topic);
    await using second = collect(other);
    await eventually(() => second.seen.length > 0, { timeoutMs: 40_000 });
    await lost.promise;
    assert.deepEqual(first.seen, []);
    await proxy.set(undefined);
  });
});
