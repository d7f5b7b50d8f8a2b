import { Counter, Gauge, Histogram, type Registry } from "prom-client";

export type KafkaMetrics = ReturnType<typeof createKafkaMetrics>;

/** Registers the metrics of the Kafka driver in the registry of its process. */
export function createKafkaMetrics(registry: Registry) {
  const registers = [registry];
  let queued = () => 0;
  new Gauge({
    name: "nebula_bus_queued_records",
    help: "Records that wait for Kafka's acknowledgement.",
    registers,
    collect() {
      this.set(queued());
    },
  });
  return {
    /** Sets where the number of records that wait is read. */
    countQueued(count: () => number): void {
      queued = count;
    },
    published: new Counter({ name: "nebula_bus_published_records_total", help: "Records that Kafka acknowledged.", registers }),
    refused: new Counter({ name: "nebula_bus_refused_records_total", help: "Records refused because the queue was full.", registers }),
    publishFailures: new Counter({
      name: "nebula_bus_publish_failures_total",
      help: "Attempts to publish a batch that failed; a batch is tried again for 10 seconds.",
      registers,
    }),
    lag: new Gauge({
      name: "nebula_bus_lag_records",
      help: "Records of a partition that are not committed yet, of each partition that this process reads.",
      labelNames: ["partition"] as const,
      registers,
    }),
    newest: new Gauge({
      name: "nebula_bus_committed_timestamp_seconds",
      help: "When the bus took the newest record that was committed, seconds since 1970; now minus this is the age of what is stored.",
      registers,
    }),
    batchRecords: new Histogram({
      name: "nebula_bus_batch_records",
      help: "Records of a batch that was committed.",
      buckets: [1, 5, 20, 100, 500],
      registers,
    }),
    repeats: new Counter({ name: "nebula_bus_repeated_batches_total", help: "Batches that were handled again after a failure.", registers }),
    rebalances: new Counter({ name: "nebula_bus_rebalances_total", help: "Times that this process joined the consumer group.", registers }),
    dead: new Counter({ name: "nebula_bus_dead_records_total", help: "Records put aside because they cannot be read.", registers }),
    deadLost: new Counter({
      name: "nebula_bus_lost_dead_records_total",
      help: "Records that cannot be read and that the topic for them did not take; the log names their offsets.",
      registers,
    }),
  };
}
