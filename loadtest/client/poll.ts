/**
 * Clients that poll as fast as they are answered, each with one request under way, in slices between which they are silent.
 *
 * L1 A client looks at no more of an answer than its status and where its headers end, all bodies being of one length: else its parsing is measured.
 * L2 Any other answer (another status, another length, a connection that ends) ends the poll with an error: a refusal is fast, and does not count as an answer.
 * L3 Nothing is measured before each connection was answered once. Node accepts one connection per turn of its event loop, and a turn of a busy server is
 *    long: the last of 500 connections that begin to poll at once waits for some seconds, which the answers do not cause.
 * L4 A slice ends when all clients are silent: then another server can be measured on the same processors. A request
 *    still under way when the slice's time is over counts, and so does the time that it takes, as it does for the server's processor.
 */
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { quantile } from "../measure/quantiles.ts";
import { openLightSocket } from "./light-socket.ts";
import type { OpenCommand, Polled } from "./poll-protocol.ts";

const OK = Buffer.from("HTTP/1.1 200 ");
const END_OF_HEADERS = Buffer.from("\r\n\r\n");

/** How long all connections may take until each was answered once, and until all are silent after a slice. Milliseconds. */
const LIMIT_MS = 60_000;

/** The state that all pollers share. */
type Shared = {
  readonly command: Omit<OpenCommand, "kind">;
  readonly bodyBytes: number;
  /** Whether an answer is followed by the next request. */
  polling: boolean;
  /** Whether an answer counts. */
  measuring: boolean;
  readonly latencies: number[];
  readonly counts: Uint32Array;
  /** Connections that were never answered, and requests that are under way. */
  unanswered: number;
  underWay: number;
  onChange: () => void;
  fail: (reason: Error) => void;
};

export class Pollers {
  readonly #shared: Shared;
  readonly #failure: Promise<never>;
  readonly #pollers: readonly Poller[];
  #tookMs = 0;
  /** From the first connection's beginning until each was answered once, milliseconds. */
  firstAnswersMs = 0;

  private constructor(shared: Shared, failure: Promise<never>) {
    this.#shared = shared;
    this.#failure = failure;
    this.#pollers = Array.from({ length: shared.command.connections }, (_, index) => new Poller(index, shared));
  }

  /** Opens the connections and warms the server up. Rejects with `unavailable` when a poll fails (L2). */
  static async open(command: Omit<OpenCommand, "kind">): Promise<Pollers> {
    const { connections, warmUpMs } = command;
    const failure = Promise.withResolvers<never>();
    failure.promise.catch(() => {}); // the waiting caller receives it
    const shared: Shared = {
      command,
      bodyBytes: await bodyLength(command),
      polling: false,
      measuring: false,
      latencies: [],
      counts: new Uint32Array(connections),
      unanswered: connections,
      underWay: 0,
      onChange: () => {},
      fail: failure.reject,
    };
    const pollers = new Pollers(shared, failure.promise);
    try {
      const begun = performance.now();
      pollers.#start();
      await pollers.#until(() => shared.unanswered === 0, "were not answered"); // L3
      pollers.firstAnswersMs = performance.now() - begun;
      await Promise.race([delay(warmUpMs), failure.promise]);
      await pollers.#silence();
      return pollers;
    } catch (error) {
      pollers.#close();
      throw error;
    }
  }

  /** Polls for `ms` milliseconds, until the last answer has come. */
  async slice(ms: number): Promise<void> {
    try {
      this.#shared.measuring = true;
      const begun = performance.now();
      this.#start();
      await Promise.race([delay(ms), this.#failure]);
      await this.#silence(); // L4
      this.#shared.measuring = false;
      this.#tookMs += performance.now() - begun;
    } catch (error) {
      this.#close();
      throw error;
    }
  }

  /** Closes the connections; answers what was measured in all slices. */
  finish(): Polled {
    this.#close();
    const { latencies, counts } = this.#shared;
    const mean = latencies.length / counts.length;
    return {
      requests: latencies.length,
      tookMs: this.#tookMs,
      p50Ms: quantile(latencies, 0.5),
      p99Ms: quantile(latencies, 0.99),
      slowestShare: mean === 0 ? 0 : Math.min(...counts) / mean,
    };
  }

  #start(): void {
    this.#shared.polling = true;
    for (const poller of this.#pollers) poller.start();
  }

  async #silence(): Promise<void> {
    this.#shared.polling = false;
    await this.#until(() => this.#shared.underWay === 0, "are not silent");
  }

  async #until(isSo: () => boolean, what: string): Promise<void> {
    const shared = this.#shared;
    const reached = new Promise<void>((resolve) => {
      shared.onChange = () => {
        if (isSo()) resolve();
      };
      shared.onChange();
    });
    const late = new AbortController();
    const limit = delay(LIMIT_MS, undefined, { signal: late.signal }).then(
      () => shared.fail(new NebulaError("deadline_exceeded", `some of ${shared.counts.length} connections ${what} within ${LIMIT_MS / 1000} s`)),
      () => {},
    );
    try {
      await Promise.race([reached, this.#failure]);
    } finally {
      late.abort();
      await limit;
    }
  }

  #close(): void {
    for (const poller of this.#pollers) poller.close();
  }
}

class Poller {
  readonly #index: number;
  readonly #shared: Shared;
  #socket: Socket | undefined;
  #isUnderWay = false;
  #wasAnswered = false;
  #received = 0;
  /** Length of the answer that comes, headers included. */
  #expected = 0;
  #begun = 0;
  #closed = false;

  constructor(index: number, shared: Shared) {
    this.#index = index;
    this.#shared = shared;
  }

  /** Sends the next request, unless one is under way. */
  start(): void {
    if (this.#isUnderWay || this.#closed) return;
    this.#isUnderWay = true;
    this.#shared.underWay++;
    this.#send(performance.now());
  }

  close(): void {
    this.#closed = true;
    this.#socket?.destroy();
  }

  #send(now: number): void {
    const { once, port, request } = this.#shared.command;
    this.#begun = now;
    this.#received = 0;
    if (this.#socket === undefined || once) {
      // 127.0.0.x: one address has not ports enough for a connection per request.
      const target = { port, localAddress: `127.0.0.${1 + (this.#index % 100)}` };
      this.#socket = openLightSocket(target, { onData: (chunk, length) => this.#onData(chunk, length), onLost: (reason) => this.#onLost(reason) });
    }
    this.#socket.write(request);
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
    this.#expected = end + END_OF_HEADERS.length + this.#shared.bodyBytes;
    return end > 0 && OK.compare(bytes, 0, OK.length) === 0;
  }

  #answered(): void {
    const shared = this.#shared;
    const now = performance.now();
    if (shared.measuring) {
      shared.latencies.push(now - this.#begun);
      shared.counts[this.#index] = (shared.counts[this.#index] ?? 0) + 1;
    }
    if (!this.#wasAnswered) {
      this.#wasAnswered = true;
      shared.unanswered--;
      shared.onChange();
    }
    if (this.#closed) return;
    if (shared.command.once) this.#socket?.destroy();
    if (shared.polling) {
      this.#send(now);
      return;
    }
    this.#isUnderWay = false;
    shared.underWay--;
    shared.onChange();
  }

  #onLost(reason: string): void {
    if (!this.#closed) this.#end(reason);
  }

  #end(reason: string): void {
    this.close();
    this.#shared.fail(new NebulaError("unavailable", `a poll failed: ${reason}`)); // L2
  }
}

/** How long the body of an answer is, bytes. */
async function bodyLength({ port, request }: Pick<OpenCommand, "port" | "request">): Promise<number> {
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
