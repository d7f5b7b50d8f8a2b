import { randomUUID } from "node:crypto";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Registry } from "prom-client";
import { migrateKafka, openKafkaBus } from "../common/bus/kafka/kafka-bus.ts";
import { createKafka } from "../common/bus/kafka/kafka-client.ts";
import { NO_LOGIN } from "../common/bus/kafka/kafka-login.ts";
import { groupIdOf } from "../common/bus/kafka/kafka-topic.ts";
import { parseKafkaUrl } from "../common/bus/kafka/kafka-url.ts";
import { CompressionTypes, type Kafka } from "../common/bus/kafka/kafkajs-guards.ts";
import type { ReportBus } from "../common/bus/report-bus.ts";
import { systemClock } from "../common/clock/system-clock.ts";
import { createMemoryFeed } from "../common/feed/memory-feed.ts";
import { silentLog } from "../common/log/log.ts";
import type { ReportStore, StatusRow } from "../common/storage/report-store.ts";
import { encodedReport, sampleReport } from "../common/testing/sample-report.ts";
import type { StoredReport } from "../gen/nebula/v1/report_pb.ts";
import { foldBatch, parseBatch } from "../reporter/fold-batch.ts";
import { startReporter } from "../reporter/main.ts";
import { processFigures } from "./measure/process-figures.ts";
import { StolenTime } from "./measure/stolen-time.ts";

/** The things measured: records per second published, and from the topic to the commit; by our driver and by kafkajs alone. */
export const MEASURED = ["publish", "publish bare", "fold", "fold bare"] as const;
export type Measured = (typeof MEASURED)[number];

export type ReportsRun = Readonly<{
  measured: Measured;
  recordsPerSecond: number;
  cpuUsPerRecord: number;
  /** Processor time of the servers whose processes were given, by their names. */
  serverUsPerRecord: Readonly<Record<string, number>>;
  stolenShare: number;
}>;

export type ReportsBenchOptions = Readonly<{
  /** host:port of a broker */
  kafka: string;
  /** Opens the store that reports are folded into; each slice has one of its own, or devices of its own in it. */
  openStore: () => Promise<ReportStore>;
  runs: number;
  /** Records of each slice. */
  records: number;
  /** Devices that the reports are of; all of them publish at a time. */
  devices: number;
  partitions: number;
  /** Processes of servers on this machine whose processor time is measured too, by names for the table. */
  servers: Readonly<Record<string, number>>;
  say: (line: string) => void;
}>;

const never = new AbortController().signal;
const TTL_MS = 3_600_000;
const accessStore = { deviceToken: async () => undefined };
const LIMITS = { duplicateMemoryMs: TTL_MS };

type Made = Readonly<{ key: string; value: Buffer }>;

/** Measures each kind in turn, run after run: the machine's speed drifts, and slices that alternate share the drift. */
export async function benchReports(options: ReportsBenchOptions): Promise<ReportsRun[]> {
  const runs: ReportsRun[] = [];
  for (let run = 0; run <= options.runs; run++) {
    for (const measured of MEASURED) {
      const slice = await Slice.open(options);
      await using _slice = slice;
      const result = await slice.measure(measured);
      if (run === 0) continue; // code and caches are warm from then on
      options.say(`${measured}: ${result.recordsPerSecond.toFixed(0)} records per second`);
      runs.push(result);
    }
  }
  return runs;
}

/** A fresh topic, and records of fresh devices. */
class Slice implements AsyncDisposable {
  readonly #options: ReportsBenchOptions;
  readonly #kafka: Kafka;
  readonly #topic = `bench-${randomUUID()}`;
  readonly #records: readonly Made[];

  private constructor(options: ReportsBenchOptions, kafka: Kafka) {
    this.#options = options;
    this.#kafka = kafka;
    this.#records = makeRecords(options);
  }

  static async open(options: ReportsBenchOptions): Promise<Slice> {
    const slice = new Slice(options, createKafka(parseKafkaUrl(`kafka://${options.kafka}/any`), NO_LOGIN, silentLog));
    await migrateKafka({ url: slice.#url, login: NO_LOGIN, clock: systemClock, log: silentLog, signal: never });
    return slice;
  }

  get #url(): string {
    return `kafka://${this.#options.kafka}/${this.#topic}?partitions=${this.#options.partitions}`;
  }

  async measure(measured: Measured): Promise<ReportsRun> {
    switch (measured) {
      case "publish": {
        await using bus = await this.#openBus();
        return await this.#timed(measured, () => publishAll(bus, this.#records, this.#options.devices));
      }
      case "publish bare":
        return await this.#withProducer((producer) => this.#timed(measured, () => this.#publishBare(producer)));
      case "fold":
        return await this.#fold(measured, (store) => this.#startReporter(store));
      case "fold bare":
        return await this.#fold(measured, (store) => this.#startBare(store));
      default:
        throw new Error(`unknown: ${measured satisfies never}`);
    }
  }

  /** Times a slice, from its start until `act` resolves. */
  async #timed(measured: Measured, act: () => Promise<void>): Promise<ReportsRun> {
    const stolen = new StolenTime();
    const serversMs = () => Object.entries(this.#options.servers).map(([name, pid]) => [name, processFigures(pid).cpuMs] as const);
    const before = new Map(serversMs());
    const cpu = process.cpuUsage();
    const begun = performance.now();
    await stolen.during(act);
    const tookMs = performance.now() - begun;
    const { user, system } = process.cpuUsage(cpu);
    const count = this.#records.length;
    const serverUsPerRecord = Object.fromEntries(serversMs().map(([name, cpuMs]) => [name, ((cpuMs - (before.get(name) ?? 0)) * 1000) / count]));
    return {
      measured,
      recordsPerSecond: (count * 1000) / tookMs,
      cpuUsPerRecord: (user + system) / count,
      serverUsPerRecord,
      stolenShare: stolen.share,
    };
  }

  /** Times from the first save to the last commit: the records are in the topic before, and joining a group is not counted. */
  async #fold(measured: Measured, start: (store: ReportStore) => Promise<AsyncDisposable>): Promise<ReportsRun> {
    await this.#withProducer((producer) => this.#publishBare(producer));
    await using opened = await this.#options.openStore();
    const first = Promise.withResolvers<void>();
    const all = Promise.withResolvers<void>();
    let left = this.#records.length;
    const store: ReportStore = {
      ...opened,
      async statuses(...given) {
        first.resolve();
        return await opened.statuses(...given);
      },
      async save(changes, ...more) {
        const outcome = await opened.save(changes, ...more);
        left -= changes.reduce((sum, { reports }) => sum + reports.length, 0);
        if (left <= 0) all.resolve();
        return outcome;
      },
    };
    const reader = await start(store);
    await using _reader = reader;
    const admin = this.#kafka.admin();
    await admin.connect();
    try {
      await first.promise;
      return await this.#timed(measured, async () => {
        await all.promise;
        while (!(await this.#isCommitted(admin, measured))) await systemClock.sleep(2, never);
      });
    } finally {
      await admin.disconnect();
    }
  }

  async #isCommitted(admin: ReturnType<Kafka["admin"]>, measured: Measured): Promise<boolean> {
    const groupId = measured === "fold" ? groupIdOf(this.#topic) : this.#topic;
    const [group] = await admin.fetchOffsets({ groupId, topics: [this.#topic] });
    const committed = group?.partitions.reduce((sum, { offset }) => sum + Math.max(0, Number(offset)), 0) ?? 0;
    return committed >= this.#records.length;
  }

  async #startReporter(reportStore: ReportStore): Promise<AsyncDisposable> {
    await using opening = new AsyncDisposableStack();
    const reportBus = opening.use(await this.#openBus());
    const drivers = { reportBus, reportStore, accessStore, changeFeed: createMemoryFeed({ log: silentLog }) };
    const settings = { reportTtlMs: TTL_MS };
    opening.use(await startReporter({ settings, drivers, clock: systemClock, log: silentLog, registry: new Registry() }));
    return opening.move();
  }

  /** A consumer of kafkajs that reads and writes the same; it decodes and folds nothing, because what it writes was made before. */
  async #startBare(store: ReportStore): Promise<AsyncDisposable> {
    const consumer = this.#kafka.consumer({ groupId: this.#topic, maxWaitTimeInMs: 500 });
    const topic = this.#topic;
    const next = madeBefore(this.#records);
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: 16,
      async eachBatch({ batch, resolveOffset, commitOffsetsIfNecessary, heartbeat }) {
        for (let at = 0; at < batch.messages.length; at += 500) {
          const part = batch.messages.slice(at, at + 500);
          const devices = [...new Set(part.flatMap(({ key }) => key?.toString() ?? []))];
          const before = await store.statuses(devices);
          const changes = new Map<string, { before: StatusRow | undefined; row: StatusRow; reports: StoredReport[] }>();
          for (const { key } of part) {
            const made = next(key?.toString() ?? "");
            if (made === undefined) continue;
            const change = changes.get(made.row.device.deviceId) ?? { before: before.get(made.row.device.deviceId), row: made.row, reports: [] };
            change.reports.push(made.stored);
            changes.set(made.row.device.deviceId, { ...change, row: made.row });
          }
          await store.save([...changes.values()]);
          const last = part.at(-1)?.offset ?? "0";
          resolveOffset(last);
          await commitOffsetsIfNecessary({ topics: [{ topic, partitions: [{ partition: batch.partition, offset: String(BigInt(last) + 1n) }] }] });
          await heartbeat();
        }
      },
    });
    return { [Symbol.asyncDispose]: () => consumer.disconnect() };
  }

  async #openBus(): Promise<ReportBus> {
    return await openKafkaBus({ url: this.#url, login: NO_LOGIN, clock: systemClock, log: silentLog, registry: new Registry() });
  }

  async #withProducer<T>(use: (producer: ReturnType<Kafka["producer"]>) => Promise<T>): Promise<T> {
    const producer = this.#kafka.producer();
    await producer.connect();
    try {
      return await use(producer);
    } finally {
      await producer.disconnect();
    }
  }

  async #publishBare(producer: ReturnType<Kafka["producer"]>): Promise<void> {
    for (let at = 0; at < this.#records.length; at += 500) {
      const messages = this.#records.slice(at, at + 500);
      await producer.sendBatch({ acks: -1, compression: CompressionTypes.GZIP, topicMessages: [{ topic: this.#topic, messages }] });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const admin = this.#kafka.admin();
    await admin.connect();
    await admin.deleteTopics({ topics: [this.#topic, `${this.#topic}-dead`] });
    await admin.disconnect();
  }
}

/** Each device has one record in flight, as a worker has. */
async function publishAll(bus: Pick<ReportBus, "publish">, records: readonly Made[], devices: number): Promise<void> {
  await Promise.all(
    Array.from({ length: devices }, async (_, device) => {
      const { signal } = new AbortController(); // each call has its own
      for (let at = device; at < records.length; at += devices) {
        const record = records[at];
        if (record !== undefined) await bus.publish(record, signal);
      }
    }),
  );
}

function makeRecords({ records, devices }: ReportsBenchOptions): Made[] {
  const fleet = randomUUID().slice(0, 8);
  const now = systemClock.now();
  return Array.from({ length: records }, (_, index) => {
    const report = sampleReport({
      deviceId: `bench-${fleet}-${index % devices}`,
      deviceGroup: `group-${index % 10}`,
      seq: BigInt(Math.floor(index / devices) + 1),
      receivedAt: timestampFromMs(now + Math.floor(index / devices)),
    });
    const value = encodedReport(report);
    return { key: report.deviceId, value: Buffer.from(value) };
  });
}

type Folded = Readonly<{ row: StatusRow; stored: StoredReport }>;

/** Folds the records ahead of time; answers a function that gives a device's next row and report. */
function madeBefore(records: readonly Made[]): (device: string) => Folded | undefined {
  const folded = new Map<string, Folded[]>();
  const rows = new Map<string, StatusRow>();
  for (const { key, value } of records) {
    const { changes } = foldBatch(rows, parseBatch([{ key, value, timestampMs: systemClock.now() }]).received, LIMITS, 0);
    for (const { row, reports } of changes) {
      rows.set(key, row);
      folded.set(key, [...(folded.get(key) ?? []), ...reports.map((stored) => ({ row, stored }))]);
    }
  }
  const at = new Map<string, number>();
  return (device) => {
    const index = at.get(device) ?? 0;
    at.set(device, index + 1);
    return folded.get(device)?.[index];
  };
}
