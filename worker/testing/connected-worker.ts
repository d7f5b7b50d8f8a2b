import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { systemClock } from "../../common/clock/system-clock.ts";
import { createLog, silentLog } from "../../common/log/log.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { type Report, ReportSchema } from "../../gen/nebula/v1/report_pb.ts";
import type { WatchEvent } from "../connection/events.ts";
import { openWatch, type Watch, type WatchOptions } from "../connection/watch.ts";

/** Short waits, milliseconds. */
export const FAST = { backoffBaseMs: 20, backoffCapMs: 100, refusedMs: 200, stableMs: 10_000 };

/** The watch of a device of the group `shop`, by way of a manager. */
export function watchOf(address: string, options: Partial<WatchOptions> & Pick<WatchOptions, "signal">): Watch {
  const [host = "", port = ""] = address.split(":");
  return openWatch({
    server: { protocol: "grpc", host, port: Number(port) },
    deviceGroup: "shop",
    deviceId: "device-7",
    boot: "boot1",
    keepaliveMs: 60_000,
    authorization: () => "Bearer secret",
    heldEtag: () => "",
    clock: systemClock,
    log: silentLog,
    timing: FAST,
    reachMs: 400,
    ...options,
  });
}

/** A worker's side of the connection: its watch, and every event of it so far. For tests only. */
export class ConnectedWorker implements AsyncDisposable {
  readonly events: WatchEvent[] = [];
  readonly watch: Watch;
  etag = "";
  readonly #done = new AbortController();
  readonly #reading: Promise<void>;

  constructor(address: string, options: Partial<WatchOptions> = {}) {
    const watch = watchOf(address, { heldEtag: () => this.etag, signal: this.#done.signal, ...options });
    this.watch = watch;
    this.#reading = (async () => {
      for await (const event of watch) this.events.push(event);
    })();
  }

  /** Waits for an event that was not there before the call. */
  next<K extends WatchEvent["kind"]>(kind: K, from = 0): Promise<Extract<WatchEvent, { kind: K }>> {
    return eventually(() => {
      const found = this.events.slice(from).find((event): event is Extract<WatchEvent, { kind: K }> => event.kind === kind);
      assert.ok(found, `no ${kind} in ${this.events.map((event) => event.kind)}`);
      return found;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#done.abort();
    await this.#reading;
  }
}

/** A report of that device. */
export function reportOf(seq: bigint): Report {
  return create(ReportSchema, { deviceId: "device-7", seq });
}

/** Lines that a worker logged. For tests only. */
export class LogLines {
  readonly #lines: { level: string; msg: string }[] = [];
  readonly log = createLog({ level: "debug", part: "worker", destination: { write: (line: string) => void this.#lines.push(JSON.parse(line)) } });

  count(message: string): number {
    return this.#lines.filter(({ msg }) => msg === message).length;
  }

  above(level: "info"): readonly string[] {
    return this.#lines.filter((line) => !["debug", level].includes(line.level)).map(({ msg }) => msg);
  }
}
