import { strict as assert } from "node:assert";
import { SilentNodes } from "./silent-nodes.ts";

describe("nodes of Cassandra that take requests and say nothing", () => {
  let now: number;
  let inFlight: Map<string, number>;
  let nodes: SilentNodes;
  const down = new Set<string>();
  beforeEach(() => {
    down.clear();
    now = 10_000;
    inFlight = new Map([
      ["a", 0],
      ["b", 0],
      ["c", 0],
    ]);
    nodes = new SilentNodes({ monotonic: () => now }, () => inFlight);
  });

  /** The plan of a request, some milliseconds after the one before. */
  function plan(afterMs: number, ofDriver = false): string {
    now += afterMs;
    const hosts = ["a", "b", "c"].map((address) => ({ address, isUp: () => !down.has(address) }));
    return [...nodes.order(hosts.values(), { ofDriver })].map(({ address }) => address).join("");
  }

  /** The same, while `a` has requests that it does not answer and the others answer. */
  function silence(): void {
    assert.equal(plan(100), "abc");
    inFlight.set("a", 1);
    for (let n = 0; n < 5; n++) assert.equal(plan(100), "abc");
  }

  it("nodes are asked after all others when they answered nothing for half a second", () => {
    silence();
    assert.equal(plan(100), "bca");
    inFlight.set("a", 2);
    assert.equal(plan(1000), "bca");
    assert.ok(nodes.isSilent("a"));
    assert.ok(!nodes.isSilent("b"));
  });

  it("nodes are asked in their turn again after any answer, also one that nobody waited for", () => {
    inFlight.set("a", 1);
    silence();
    inFlight.set("a", 2);
    assert.equal(plan(1000), "bca");
    inFlight.set("a", 1);
    assert.equal(plan(100), "abc");
    assert.equal(plan(1000), "bca");
    nodes.answered("a");
    assert.equal(plan(100), "abc");
    assert.equal(plan(1000), "bca");
    inFlight.set("a", 0);
    assert.equal(plan(100), "abc");
  });

  it("nodes that answer are not silent while they always have requests, nor is one that had nothing to answer", () => {
    for (const address of inFlight.keys()) inFlight.set(address, 100);
    for (let n = 0; n < 20; n++) {
      for (const address of inFlight.keys()) nodes.answered(address);
      assert.equal(plan(400), "abc");
    }
    for (const address of inFlight.keys()) inFlight.set(address, 0);
    assert.equal(plan(60_000), "abc");
    inFlight.set("a", 1);
    assert.equal(plan(100), "abc");
  });

  it("silent nodes are left out of what the driver asks by itself, unless no other is up", () => {
    silence();
    assert.equal(plan(100, true), "bc");
    down.add("b").add("c");
    assert.equal(plan(100, true), "bca");
    down.clear();
    for (const address of inFlight.keys()) inFlight.set(address, 3);
    plan(100);
    assert.equal(plan(1000, true), "abc");
    assert.equal(plan(100), "abc");
  });

  it("a silent node is one that answers once it has a new connection", () => {
    silence();
    assert.equal(plan(100), "bca");
    inFlight.delete("a");
    assert.equal(plan(100), "abc");
    inFlight.set("a", 1);
    assert.equal(plan(100), "abc");
  });
});
