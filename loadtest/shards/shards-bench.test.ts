import { strict as assert } from "node:assert";
import { redisUrl, requireServer, type TestServer } from "../../common/testing/servers.ts";
import { figuresTable } from "../measure/table.ts";
import { splitProcessors } from "../processes/processors.ts";
import { benchShards, goalsOf } from "./shards-bench.ts";

const MOVING = 60;

describe("the bench of shards", function () {
  this.timeout(150_000);
  let servers: readonly [cassandra: TestServer, redis: TestServer];
  before("start Cassandra and Redis", async function () {
    if (process.platform !== "linux") this.skip();
    servers = await Promise.all([requireServer(this, "cassandra"), requireServer(this, "redis")]);
  });

  it("the bench of shards measures two shards beside an embedded server, and moves every device to a shard that joins and back from it", async () => {
    const processors = splitProcessors();
    const [cassandra, redis] = servers;
    const bench = await benchShards({
      cassandra: cassandra.address,
      redis: redisUrl(redis),
      runs: 1,
      devices: 100,
      pushes: 2,
      warmUpPushes: 1,
      reconnecting: 20,
      moving: MOVING,
      handOvers: 1,
      payloadBytes: 2048,
      settleMs: 300, // two shards are never as idle as one server for 100 ms
      steadyMs: 0,
      serverProcessors: processors.server,
      fleetProcessors: processors.fleet,
      signal: new AbortController().signal,
      say: () => {},
    });
    assert.deepEqual(
      bench.runs.map(({ subject }) => subject),
      ["embedded", "shards"],
    );
    for (const { subject, figures } of bench.runs) {
      for (const [name, value] of Object.entries(figures)) assert.ok(Number.isFinite(value), `${subject}: ${name} is ${value}`);
      assert.ok(figures.reconnectedMs > 0 && figures.connectionsPerSecond > 0, subject);
    }
    assert.deepEqual(
      bench.handOvers.map(({ kind }) => kind),
      ["join", "drain"],
    );
    for (const { kind, tookMs, wholeMs, gapP99Ms, gapMaxMs, mostRedirects } of bench.handOvers) {
      assert.ok(gapP99Ms > 0 && gapP99Ms <= gapMaxMs && gapMaxMs <= wholeMs && tookMs > 0 && tookMs <= wholeMs, kind);
      assert.ok(mostRedirects >= 1 && mostRedirects <= 3, `${kind}: ${mostRedirects} redirects of one device`);
    }
    const goals = goalsOf(bench);
    assert.ok(goals.length === 8 && goals.every(({ value }) => Number.isFinite(value)), JSON.stringify(goals));
    const table = figuresTable(bench.medians, "shards");
    assert.ok(table.length > 8 && table.every((line) => !/NaN|undefined/.test(line)), table.join("\n"));
  });
});
