/** One record of the bus. */
export type BusMessage = Readonly<{
  /** The device_id: records of one device keep their order. */
  key: string;
  /** An encoded BusRecord, or JSON of a worker of the original (first byte `{`). */
  value: Uint8Array;
  /** When the bus took it, milliseconds since 1970. */
  timestampMs: number;
}>;

/** A batch of one partition. It is committed when the handler resolves, and delivered again when it rejects. */
export type BatchHandler = (batch: readonly BusMessage[], signal: AbortSignal) => Promise<void>;

/** Reports on their way from the shards to the reporter: at least once, ordered per device. */
export interface ReportBus extends AsyncDisposable {
  /** Resolves once the record is safe. Rejects with `unavailable` when the bus is down or full, or (memory:) nobody consumes. */
  publish(record: { key: string; value: Uint8Array }, signal: AbortSignal): Promise<void>;
  /** Consumes until the signal is aborted; resolves then. */
  consume(handler: BatchHandler, signal: AbortSignal): Promise<void>;
  /** Keeps a record that can't be read, for a person to look at. */
  publishDead(record: BusMessage, reason: string): Promise<void>;
}
