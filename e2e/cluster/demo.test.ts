import { strict as assert } from "node:assert";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../common/clock/system-clock.ts";
import { silentLog } from "../../common/log/log.ts";
import { openDrivers } from "../../common/open-drivers.ts";
import { openBackends, type TestBackends } from "../../common/testing/backends.ts";
import { requireServers } from "../../common/testing/servers.ts";
import { connectTestKafka } from "../../common/testing/test-kafka.ts";
import { Program } from "../harness/program.ts";

const DEVICES = 20;

describe("the demo on the backends of the environment", function () {
  this.timeout(120_000);
  let backends: TestBackends;
  let folder: string;
  before("make a keyspace and a topic", async function () {
    backends = await openBackends(await requireServers(this));
    folder = await mkdtemp(join(tmpdir(), "nebula-e2e-demo-"));
  });
  after(async () => {
    await backends?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  function startDemo(): Program {
    const { store, redis, bus } = backends.settings;
    return new Program(["demo", "--devices", String(DEVICES)], {
      env: { TMPDIR: folder, NEBULA_STORE: store, NEBULA_REDIS: redis, NEBULA_BUS: bus },
    });
  }

  /** The demo's app in the store, and the row of one of its devices. */
  async function stored() {
    const settings = { ...backends.settings, cacheTimeMs: 10_000, reportTtlMs: 26 * 3_600_000 };
    await using drivers = await openDrivers(["configStore", "reportStore"], { settings, clock: systemClock, log: silentLog });
    const app = await drivers.configStore.get({ kind: "app", name: "hello" });
    const rows = await drivers.reportStore.statuses(["simulated-001"]);
    return { app, device: rows.get("simulated-001") };
  }

  it("the demo has the fleet follow its changes through Cassandra, Redis and Kafka, and removes its entities there", async function () {
    await using demo = startDemo();
    assert.equal(await demo.exit(), 0, demo.output);
    assert.match(demo.output, /on the backends of the environment: .*Cassandra.*Redis.*Kafka/);
    const absent = [...demo.output.matchAll(/(\d+) of (\d+) devices run it/g)].map(([, applied, expected]) => Number(expected) - Number(applied));
    assert.deepEqual(absent, [0, 1, 0], demo.output); // one device has no room for the second image
    const { app, device } = await stored();
    assert.ok(app?.deleted === true && device?.deleted === true);
    const { bus } = backends.settings;
    const { admin } = await connectTestKafka(this);
    try {
      const offsets = await admin.fetchTopicOffsets(new URL(bus).pathname.slice(1));
      const records = offsets.reduce((sum, { high }) => sum + Number(high), 0);
      assert.ok(records >= 2 * DEVICES, `${records} reports went through the topic`);
    } finally {
      await admin.disconnect();
    }
    assert.deepEqual(await readdir(folder), []);
  });

  it("the demo ends with a message where the store has an app of its name, and leaves that as it is", async () => {
    const settings = { ...backends.settings, cacheTimeMs: 10_000, reportTtlMs: 26 * 3_600_000 };
    await using drivers = await openDrivers(["configStore"], { settings, clock: systemClock, log: silentLog });
    const { configStore } = drivers;
    const before = await configStore.get({ kind: "app", name: "hello" });
    const expected = before?.revision ?? 0n;
    const own = { kind: "app", name: "hello", expected, revision: expected + 1n, deleted: false, body: new Uint8Array() } as const;
    assert.equal((await configStore.write({ ...own, action: "create", changedAt: Date.now(), changedBy: "test" })).kind, "written");
    await using demo = startDemo();
    assert.equal(await demo.exit(), 1, demo.output);
    assert.match(demo.output, /the store has an app "hello" already/);
    const { app } = await stored();
    assert.deepEqual([app?.revision, app?.deleted], [expected + 1n, false]);
  });
});
