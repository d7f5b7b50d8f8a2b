import type { ErrorKind } from "../../common/errors/nebula-error.ts";
import type { Config } from "../../gen/nebula/v1/config_pb.ts";

/** The events of a watch. Only the newest of each sort is kept for a reader that is busy. */
export type WatchEvent = Readonly<
  /** A shard serves the watch: reports can be sent. */
  | { kind: "connected"; address: string }
  /** `refused`: of what kind the refusal was; undefined: the connection ended, or none came about. Tried again after `retryInMs` milliseconds. */
  | { kind: "disconnected"; reason: string; refused: ErrorKind | undefined; retryInMs: number }
  /** The config that the device should run from now on. */
  | { kind: "config"; config: Config; etag: string }
  /** The device holds the newest config already. */
  | { kind: "unchanged" }
  /** There is no such device_group now; the device keeps what it runs. */
  | { kind: "no_such_group" }
>;

/**
 * Events for one reader. Two slots, one for the connection and one for the answer, each with the newest event alone: a reader that is busy for an hour
 * costs one config of memory. Events are read in the order in which they were put.
 */
export class LatestEvents implements AsyncIterable<WatchEvent> {
  #slots: readonly WatchEvent[] = [];
  #closed = false;
  #wake = Promise.withResolvers<void>();

  put(event: WatchEvent): void {
    this.#slots = [...this.#slots.filter((kept) => isOfConnection(kept) !== isOfConnection(event)), event];
    this.#wake.resolve();
  }

  /** The reader gets what is kept, then the end. */
  close(): void {
    this.#closed = true;
    this.#wake.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<WatchEvent, void> {
    for (;;) {
      const [event, ...rest] = this.#slots;
      if (event !== undefined) {
        this.#slots = rest;
        yield event;
      } else if (this.#closed) {
        return;
      } else {
        this.#wake = Promise.withResolvers();
        await this.#wake.promise;
      }
    }
  }
}

function isOfConnection({ kind }: WatchEvent): boolean {
  return kind === "connected" || kind === "disconnected";
}
