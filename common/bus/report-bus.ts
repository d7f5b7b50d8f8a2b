/** A record as a shard publishes it. */
export type BusRecord = Readonly<{
  /** The device_id: records of one key keep their order, and are read by one consumer. null: no order, as workers of the original send. */
  key: string | null;
  /** An encoded BusRecord, or JSON of a worker of the original (first byte `{`). */
  value: Uint8Array;
}>;

/** A record as a consumer receives it. */
export type BusMessage = BusRecord &
  Readonly<{
    /** When the bus took it, milliseconds since 1970. */
    timestampMs: number;
    /** Its place in the log of the bus, where the bus keeps one. */
    position?: BusPosition;
  }>;

export type BusPosition = Readonly<{ partition: number; offset: bigint }>;

/**
 * Handles a batch of one partition, which is committed when it resolves, and handed over again, after a wait, when it rejects.
 * @param signal aborted when the partition is lost, or when a consumer that stops has waited too long: stop before the next write, and reject
 */
export type BatchHandler = (batch: readonly BusMessage[], signal: AbortSignal) => Promise<void>;

export type ConsumeOptions = Readonly<{
  /** Ends the consuming after the batches that are being handled. */
  signal: AbortSignal;
  /** Called once, when the consumer has joined: from then on it receives records. */
  onJoined?: () => void;
  /** Called before each batch, with a signal that ends the wait; undefined: the batch has its turn now. A bus of this process takes the batch after it. */
  turn?: (signal: AbortSignal) => Promise<void> | undefined;
}>;

/** Reports on their way from the shards to the reporter: at least once, ordered per key. */
export interface ReportBus extends AsyncDisposable {
  /**
   * Resolves once the record is safe. Publishes of one key are in the log in the order of their calls, however slow or repeated one of them is.
   * Rejects with `unavailable` when the bus is unreachable or full, or (memory:) without a consumer: the record may be in the log all the same.
   */
  publish(record: BusRecord, signal: AbortSignal): Promise<void>;
  /**
   * Consumes until the signal is aborted, and resolves then. Each partition belongs to one consumer at a time.
   * Rejects when the consumer failed: then consume again.
   */
  consume(handler: BatchHandler, options: ConsumeOptions): Promise<void>;
  /** Keeps a record that cannot be read, with its position and the reason, for a person to look at. */
  publishDead(message: BusMessage, reason: string, signal: AbortSignal): Promise<void>;
}
