/**
 * Clients that poll as fast as they are answered, each with one request under way.
 *
 * L1 It looks at no more of an answer than its status and where its headers end, all bodies being of one length: else a client that parses is measured.
 * L2 An answer that is none of those (another status, another length, a connection that ends) ends the poll with an error: a refusal is fast, and no result.
 */
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { quantile } from "../measure/quantiles.ts";
import { openLightSocket } from "./light-socket.ts";
import type { PollCommand, Polled } from "./poll-protocol.ts";

type Measured = { latencies: number[]; counts: Uint32Array };

const OK = Buffer.from("HTTP/1.1 200 ");
const END_OF_HEADERS = Buffer.from("\r\n\r\n");

/** @param measuring called when the warm-up is over */
export async function poll(command: Omit<PollCommand, "kind">, measuring: () => void): Promise<Polled> {
  const { connections, warmUpMs, measureMs } = command;
  const measured: Measured = { latencies: [], counts: new Uint32Array(connections) };
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => {}); // told to whoever waits
  const bodyBytes = await bodyLength(command);
  const pollers = Array.from({ length: connections }, (_, index) => new Poller(index, bodyBytes, command, measured, failure.reject));
  try {
    await Promise.race([delay(warmUpMs), failure.promise]);
    measured.latencies = [];
    measured.counts.fill(0);
    measuring();
    const begun = performance.now();
    await Promise.race([delay(measureMs), failure.promise]);
    const tookMs = performance.now() - begun;
    const { latencies, counts } = measured;
    const mean = latencies.length / connections;
    return {
      requests: latencies.length,
      tookMs,
      p50Ms: quantile(latencies, 0.5),
      p99Ms: quantile(latencies, 0.99),
      slowestShare: mean === 0 ? 0 : Math.min(...counts) / mean,
    };
  } finally {
    for (const poller of pollers) poller.close();
  }
}

class Poller {
  readonly #index: number;
  readonly #bodyBytes: number;
  readonly #command: Omit<PollCommand, "kind">;
  readonly #measured: Measured;
  readonly #fail: (reason: Error) => void;
  #socket: Socket | undefined;
  #received = 0;
  /** Length of the answer that comes, headers included. */
  #expected = 0;
  #begun = 0;
  #closed = false;

  constructor(index: number, bodyBytes: number, command: Omit<PollCommand, "kind">, measured: Measured, fail: (reason: Error) => void) {
    this.#index = index;
    this.#bodyBytes = bodyBytes;
    this.#command = command;
    this.#measured = measured;
    this.#fail = fail;
    this.#connect();
  }

  close(): void {
    this.#closed = true;
    this.#socket?.destroy();
  }

  #connect(): void {
    this.#begun = performance.now();
    this.#received = 0;
    // 127.0.0.x: one address has not ports enough for a connection per request.
    const target = { port: this.#command.port, localAddress: `127.0.0.${1 + (this.#index % 100)}` };
    this.#socket = openLightSocket(target, { onData: (chunk, length) => this.#onData(chunk, length), onLost: (reason) => this.#onLost(reason) });
    this.#socket.write(this.#command.request);
  }

  #onData(chunk: Uint8Array, length: number): void {
    if (this.#received === 0 && !this.#begins(chunk, length)) {
      this.#end(`answered with ${Buffer.from(chunk.subarray(0, Math.min(length, 200))).toString("latin1")}`); // L2
      return;
    }
    this.#received += length;
    if (this.#received > this.#expected) {
      this.#end(`an answer of ${this.#received} bytes, not ${this.#expected}`); // L2
    } else if (this.#received === this.#expected) this.#answered();
  }

  /** Whether an answer begins here as it should: with all of its headers, which are small (L1). */
  #begins(chunk: Uint8Array, length: number): boolean {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, length);
    const end = bytes.indexOf(END_OF_HEADERS);
    this.#expected = end + END_OF_HEADERS.length + this.#bodyBytes;
    return end > 0 && OK.compare(bytes, 0, OK.length) === 0;
  }

  #answered(): void {
    const now = performance.now();
    this.#measured.latencies.push(now - this.#begun);
    this.#measured.counts[this.#index] = (this.#measured.counts[this.#index] ?? 0) + 1;
    if (this.#closed) return;
    if (this.#command.once) {
      this.#socket?.destroy();
      this.#connect();
      return;
    }
    this.#begun = now;
    this.#received = 0;
    this.#socket?.write(this.#command.request);
  }

  #onLost(reason: string): void {
    if (!this.#closed) this.#end(reason);
  }

  #end(reason: string): void {
    this.close();
    this.#fail(new NebulaError("unavailable", `a poll failed: ${reason}`)); // L2
  }
}

/** How long the body of an answer is, bytes. */
async function bodyLength({ port, request }: Pick<PollCommand, "port" | "request">): Promise<number> {
  const length = Promise.withResolvers<number>();
  let text = "";
  const onData = (chunk: Uint8Array, size: number) => {
    text += Buffer.from(chunk.subarray(0, size)).toString("latin1");
    const [headers = "", rest] = text.split("\r\n\r\n", 2);
    if (rest === undefined) return;
    const bytes = /^content-length: (\d+)$/im.exec(headers.replaceAll("\r", ""))?.[1];
    if (text.startsWith(OK.toString()) && bytes !== undefined) length.resolve(Number(bytes));
    else length.reject(new NebulaError("unavailable", `a poll was answered with ${text.slice(0, 200)}`));
  };
  const onLost = (reason: string) => length.reject(new NebulaError("unavailable", `a poll failed: ${reason}`));
  const socket = openLightSocket({ port, localAddress: "127.0.0.1" }, { onData, onLost });
  socket.write(request);
  try {
    return await length.promise;
  } finally {
    socket.destroy();
  }
}
