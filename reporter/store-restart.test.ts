import { strict as assert } from "node:assert";
import { Registry } from "prom-client";
import { handleBatch } from "../common/bus/handle-batch.ts";
import { systemClock } from "../common/clock/system-clock.ts";
import { silentLog } from "../common/log/log.ts";
import { createCassandraReportStore } from "../common/storage/cassandra/reports/report-store.ts";
import { freshNames } from "../common/storage/contracts/report-store-contract.ts";
import { eventually } from "../common/testing/eventually.ts";
import { readAll } from "../common/testing/read-all.ts";
import { encodedReport, sampleReport } from "../common/testing/sample-report.ts";
import type { TestContainer } from "../common/testing/test-container.ts";
import { createStoppableKeyspace, type TestKeyspace } from "../common/testing/test-keyspace.ts";
import { createIngest } from "./ingest.ts";
import { createReporterMetrics } from "./metrics.ts";

const REPORT_TTL_MS = 26 * 3_600_000;
const DEVICES = 10;

/** A partition of the bus: batches of one report of each of its devices, one batch after the other, each repeated until it is stored. */
class Partition {
  readonly devices: readonly string[];
  stored = 0;
  repeats = 0;
  misses: string | undefined;
  readonly #group: string;
  readonly #handler: ReturnType<typeof createIngest>;

  constructor(store: ReturnType<typeof createCassandraReportStore>, devices: readonly string[], group: string) {
    this.devices = devices;
    this.#group = group;
    this.#handler = createIngest({
      store,
      accessStore: { deviceToken: async () => undefined },
      bus: { publishDead: async () => assert.fail("a record was put aside") },
      feed: { publish: () => {} },
      limits: { duplicateMemoryMs: REPORT_TTL_MS },
      reportTtlMs: REPORT_TTL_MS,
      clock: systemClock,
      log: silentLog,
      metrics: createReporterMetrics(new Registry(), systemClock),
      misses: (backend) => {
        this.misses = backend;
      },
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const lost = new AbortController().signal;
    const onRepeat = () => void this.repeats++;
    while (!signal.aborted) {
      const now = Date.now();
      const batch = this.devices.map((deviceId) => {
        const report = sampleReport({ deviceId, deviceGroup: this.#group, seq: BigInt(this.stored + 1), receivedMs: now });
        const value = encodedReport(report);
        return { key: deviceId, value, timestampMs: now };
      });
      await handleBatch(this.#handler, batch, { clock: systemClock, stop: lost, lost, onRepeat });
      this.stored++;
    }
  }
}

describe("reporters on a Cassandra that is killed and started again", function () {
  this.timeout(150_000);
  let keyspace: TestKeyspace;
  let container: TestContainer;
  before(async function () {
    ({ keyspace, container } = await createStoppableKeyspace(this));
  });
  after(async () => await keyspace?.[Symbol.asyncDispose]());

  it("reporters repeat the batches of a Cassandra that is killed and restarted, name the store meanwhile, and store each report once", async () => {
    const names = freshNames();
    const store = createCassandraReportStore({ client: keyspace.client, reportTtlMs: REPORT_TTL_MS, clock: systemClock });
    const devices = Array.from({ length: DEVICES }, (_, index) => names.device(index));
    const partitions = [0, 1].map(
      (part) => new Partition(store, devices.slice((part * DEVICES) / 2, ((part + 1) * DEVICES) / 2), names.group("shops")),
    );
    const over = new AbortController();
    const running = Promise.all(partitions.map((partition) => partition.run(over.signal)));
    const count = () => partitions.map(({ stored }) => stored);
    await eventually(() => count().every((stored) => stored >= 3), { timeoutMs: 30_000 });
    await container.kill();
    await eventually(() => partitions.every(({ misses }) => misses?.startsWith("NEBULA_REPORTS is unavailable") === true), { timeoutMs: 30_000 });
    const before = count();
    await container.startAgain();
    await eventually(() => count().every((stored, index) => stored >= (before[index] ?? 0) + 3), { timeoutMs: 60_000 });
    over.abort();
    await running;
    for (const { devices: of, stored, repeats, misses } of partitions) {
      assert.ok(repeats > 0, "no batch was repeated");
      assert.equal(misses, undefined);
      for (const deviceId of of) {
        const history = await readAll((page) => store.listReports({ deviceId }, page), 100);
        const seqs = history.map(({ report }) => Number(report?.seq)).sort((a, b) => a - b);
        assert.deepEqual(
          seqs,
          Array.from({ length: stored }, (_, index) => index + 1),
        );
        assert.equal(Number((await store.getDevice(deviceId))?.report?.seq), stored);
      }
    }
    const listed = await readAll((page) => store.listDevices({ deviceGroup: names.group("shops") }, page), 100);
    assert.equal(listed.length, DEVICES);
  });
});
