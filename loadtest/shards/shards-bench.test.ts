import { strict as assert } from "node:assert";
import { redisUrl, requireServer, type TestServer } from "../../common/testing/servers.ts";
import type { FigureName } from "../measure/run-figures.ts";
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
    const handOverGoals = ["hand-over to a shard that joins", "hand-over to the others from one that drains"];
    assert.deepEqual(
      handOverGoals.filter((what) => !goals.some((goal) => goal.what === what)),
      [],
    );
    assert.ok(
      goals.every(({ value }) => Number.isFinite(value)),
      JSON.stringify(goals),
    );
    const table = figuresTable(bench.medians, "shards");
    assert.ok(table.length > 8 && table.every((line) => !/NaN|undefined/.test(line)), table.join("\n"));
  });
});

describe("goalsOf", () => {
  it("goalsOf leaves out what was not measured, and a ratio to an embedded server that took less time than one step of the clock", () => {
    const medians = (cpuUsPerPush: number) => [
      {
        subject: "embedded" as const,
        figures: new Map<FigureName, number>([
          ["cpuUsPerPush", cpuUsPerPush],
          ["lastDeviceMs", 30],
        ]),
      },
      {
        subject: "shards" as const,
        figures: new Map<FigureName, number>([
          ["cpuUsPerPush", 21],
          ["lastDeviceMs", 42],
        ]),
      },
    ];
    const valuesOf = (cpuUsPerPush: number) => goalsOf({ medians: medians(cpuUsPerPush), handOvers: [] }).map(({ what, value }) => [what, value]);
    const last = ["from the answer of one shard to the last device of another", 12];
    assert.deepEqual(valuesOf(20), [["CPU per push and device", 1.05], last]);
    assert.deepEqual(valuesOf(0), [last]);
  });
});
