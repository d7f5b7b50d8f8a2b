import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { freePort } from "../../common/testing/free-port.ts";

/**
 * - black hole: nothing arrives in either direction; what was sent arrives when the fault ends, as after lost packets.
 * - delay: everything arrives, 500 ms late.
 * - cut: a request is forwarded, and the connection is reset in place of its answer.
 * - half-open: the server's end is gone and the client never learns of it, also when the fault has ended.
 * - refuse: connections are reset and, while the fault is set for the whole proxy, refused.
 */
export type Fault = "black hole" | "delay" | "cut" | "half-open" | "refuse";

export type FaultProxyOptions = Readonly<{
  /** host:port */
  target: string;
  /** Where clients connect; a free port where absent, of those that no connection takes while the proxy refuses. */
  port?: number;
  /** The requests that `cut` cuts, by a piece of what the client sends; each where absent. */
  cuts?: (sent: Buffer) => boolean;
}>;

const DELAY_MS = 500;
/** The bytes that one direction holds back before it stops reading, as the buffers of a kernel do. */
const HELD_BYTES = 1 << 20;

/** A TCP proxy whose connections can be disturbed while they are in use. */
export class FaultProxy implements AsyncDisposable {
  /** How often each fault really struck: pieces held or late, connections cut, left half-open, reset. */
  readonly struck: Record<Fault, number> = { "black hole": 0, delay: 0, cut: 0, "half-open": 0, refuse: 0 };
  readonly #options: FaultProxyOptions;
  readonly #open = new Set<ProxiedConnection>();
  #server: Server | undefined;
  readonly #port: number;
  #fault: Fault | undefined;

  private constructor(options: FaultProxyOptions, port: number) {
    this.#options = options;
    this.#port = port;
  }

  static async start(options: FaultProxyOptions): Promise<FaultProxy> {
    const proxy = new FaultProxy(options, options.port ?? (await freePort()));
    await proxy.#listen();
    return proxy;
  }

  get port(): number {
    return this.#port;
  }

  /** host:port for clients. */
  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** The open connections, oldest first. */
  get connections(): readonly ProxiedConnection[] {
    return [...this.#open];
  }

  /** Sets a fault, or none, for all connections, those to come included. */
  async set(fault: Fault | undefined): Promise<void> {
    this.#fault = fault;
    if (fault === "refuse") this.#server?.close();
    for (const connection of this.#open) connection.set(fault);
    if (fault === "refuse") this.#server = undefined;
    else if (this.#server === undefined) await this.#listen();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const connection of this.#open) connection.end();
    if (server === undefined) return;
    server.close();
    if (server.listening) await once(server, "close");
  }

  async #listen(): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, (client) => this.#accept(client));
    await once(server.listen(this.#port, "127.0.0.1"), "listening");
    this.#server = server;
  }

  #accept(client: Socket): void {
    const connection = new ProxiedConnection(client, this.#options, (fault) => this.struck[fault]++);
    this.#open.add(connection);
    client.once("close", () => this.#open.delete(connection));
    if (this.#fault !== undefined) connection.set(this.#fault);
  }
}

/** One connection of a client through the proxy, with a fault of its own. */
export class ProxiedConnection {
  /** The port from which the client came, which tells the connections of several clients apart. */
  readonly clientPort: number | undefined;
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #strike: (fault: Fault) => void;
  readonly #cuts: (sent: Buffer) => boolean;
  readonly #directions: readonly Direction[];
  #fault: Fault | undefined;
  #cutNext = false;
  #serverGone = false;

  constructor(client: Socket, { target, cuts = () => true }: FaultProxyOptions, strike: (fault: Fault) => void) {
    const [host = "", port] = target.split(":");
    this.clientPort = client.remotePort;
    this.#client = client.setNoDelay();
    this.#server = connect({ host, port: Number(port), allowHalfOpen: true, noDelay: true });
    this.#strike = strike;
    this.#cuts = cuts;
    this.#directions = [
      new Direction(client, this.#server, (piece) => this.#onSent(piece)),
      new Direction(this.#server, client, () => this.#onAnswered()),
    ];
    client.on("error", () => {});
    this.#server.on("error", () => {});
    client.once("close", () => this.end());
    this.#server.once("close", () => {
      if (!this.#serverGone) this.#directions[1]?.finish();
    });
  }

  /** Sets a fault, or none, for this connection alone. */
  set(fault: Fault | undefined): void {
    this.#fault = fault;
    if (fault !== "cut") this.#cutNext = false;
    if (fault === "half-open" && !this.#serverGone) {
      this.#strike("half-open");
      this.#serverGone = true;
      reset(this.#server);
      this.#client.resume(); // what the client sends is acknowledged and lost
    }
    if (fault === "refuse") {
      this.#strike("refuse");
      this.end();
    }
    for (const direction of this.#directions) {
      direction.delayMs = fault === "delay" ? DELAY_MS : 0;
      direction.held = fault === "black hole" || this.#serverGone;
      direction.pass();
    }
  }

  /** Resets both ends. */
  end(): void {
    for (const direction of this.#directions) direction.stop();
    reset(this.#client);
    reset(this.#server);
  }

  #onSent(piece: Buffer): void {
    if (this.#fault === "cut" && this.#cuts(piece)) this.#cutNext = true;
    else this.#countHeld();
  }

  #onAnswered(): void {
    if (this.#cutNext) {
      this.#strike("cut");
      this.end();
    } else this.#countHeld();
  }

  #countHeld(): void {
    if (this.#fault === "black hole" || this.#fault === "delay") this.#strike(this.#fault);
  }
}

/**
 * Resets a connection; closes one whose end was sent, or is on its way. Node refuses a reset meanwhile (EINVAL) and leaves
 * the handle open for good: the process then never ends, and spins.
 */
export function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

/** One direction of a connection: pieces wait in the order of their arrival until they may pass. */
class Direction {
  delayMs = 0;
  held = false;
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #waiting: { piece: Buffer | "end"; at: number }[] = [];
  #bytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  /** @param onPiece called as a piece arrives, before it waits */
  constructor(from: Socket, to: Socket, onPiece: (piece: Buffer) => void) {
    this.#from = from;
    this.#to = to;
    from.on("data", (piece: Buffer) => {
      onPiece(piece);
      if (this.#stopped) return;
      this.#waiting.push({ piece, at: performance.now() });
      this.#bytes += piece.length;
      if (this.#bytes >= HELD_BYTES) from.pause();
      this.pass();
    });
    from.once("end", () => this.finish());
    to.on("drain", () => this.pass());
  }

  /** Passes the end of the stream on, after what waits. */
  finish(): void {
    if (this.#stopped || this.#waiting.at(-1)?.piece === "end") return;
    this.#waiting.push({ piece: "end", at: performance.now() });
    this.pass();
  }

  /** Passes on what may pass now. */
  pass(): void {
    clearTimeout(this.#timer);
    while (!this.#stopped && !this.held && !this.#to.writableNeedDrain) {
      const first = this.#waiting[0];
      if (first === undefined) break;
      const waitMs = first.at + this.delayMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.pass(), waitMs);
        return;
      }
      this.#waiting.shift();
      if (first.piece === "end") this.#to.end();
      else {
        this.#bytes -= first.piece.length;
        if (!this.#to.destroyed) this.#to.write(first.piece);
      }
      if (this.#bytes < HELD_BYTES) this.#from.resume();
    }
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#waiting.length = 0;
  }
}
