import { setTimeout as delay } from "node:timers/promises";
import { ClusterStage } from "./cluster-stage.ts";
import { REDIS_FAULTS } from "./faults/redis-faults.ts";
import { REPORT_FAULTS } from "./faults/report-faults.ts";
import { SHARD_FAULTS } from "./faults/shard-faults.ts";
import { STORE_FAULTS } from "./faults/store-faults.ts";
import { WORKER_FAULTS } from "./faults/worker-faults.ts";
import { assertLinearizable, runClients } from "./register-clients.ts";

const LONG = process.env.NEBULA_TEST_LONG === "1";
const OUTAGES_MS = LONG ? [30_000, 45_000, 60_000] : [6000];

describe("200 devices of a cluster, whose apps are changed all the time, are whole again", function () {
  this.timeout(LONG ? 1_800_000 : 300_000);
  let stage: ClusterStage;

  before(async function () {
    stage = await ClusterStage.start(this);
  });
  after(async () => {
    await stage?.[Symbol.asyncDispose]();
  });
  afterEach(async function () {
    if (this.currentTest?.state !== "failed") return;
    console.log(stage.cluster.lastLogged);
    stage = await stage.replace();
  });

  // The workers of the release before come last: they stay, and no other fault is to depend on them.
  for (const { title, run, everyRun, ...options } of [...SHARD_FAULTS, ...REDIS_FAULTS, ...STORE_FAULTS, ...REPORT_FAULTS, ...WORKER_FAULTS]) {
    if (!LONG && everyRun !== true) continue;
    it(`200 devices of a cluster are whole again after ${title}`, async () => {
      for (const outageMs of OUTAGES_MS) await stage.trial.survive(() => run(stage, outageMs), options);
    });
  }

  if (!LONG) return;
  it("50 apps are linearizable registers for clients of all shards and the gateway while connections are cut and a shard is killed", async () => {
    const apps = Array.from({ length: 50 }, (_, i) => `register-${i}`);
    await stage.createApps(apps);
    const { doors, store, cluster } = stage;
    const [cut, killed] = cluster.shards;
    if (cut === undefined || killed === undefined) throw new Error("there are no two shards");
    const disturb = async (outageMs: number) => {
      await stage.rises(
        "cut connections",
        () => cut.proxies.cassandra.struck.cut,
        async () => {
          await cut.proxies.cassandra.set("cut");
          await delay(outageMs / 3);
          await cut.proxies.cassandra.set(undefined);
        },
      );
      await stage.eachRedis((proxy) => proxy.set("refuse"));
      await killed.program.kill();
      await delay(outageMs / 3);
      killed.launch();
      await stage.eachRedis((proxy) => proxy.set(undefined));
      await killed.ready();
    };
    const faults = (async () => {
      for (const outageMs of OUTAGES_MS) await disturb(outageMs);
    })();
    const seen = await runClients({ doors, apps, clientsPerApp: 8, operations: 20_000, until: faults, pauseMs: 1000 });
    await faults;
    await assertLinearizable(store, seen);
    await stage.trial.assertWhole();
  });
});
