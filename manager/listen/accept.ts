import type { Socket } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import type { Clock } from "../../common/clock/clock.ts";
import { messageOf } from "../../common/errors/nebula-error.ts";
import type { ConnectionLimiter } from "../../common/listen/connection-limiter.ts";
import type { Log } from "../../common/log/log.ts";
import type { ServerTls } from "../../common/tls/server-tls.ts";
import type { Connections } from "./connections.ts";

export type AcceptOptions = Readonly<{
  limiter: ConnectionLimiter;
  newcomers: Newcomers;
  connections: Connections;
  /** undefined: clear text. */
  tls: ServerTls | undefined;
  /** Takes a connection that speaks HTTP/2 from its first byte on. */
  inject: (socket: Socket) => void;
  log: Log;
}>;

/** The way of each accepted connection to gRPC: the limits, TLS, and the wait for its first bytes. */
export function createAccept({ limiter, newcomers, connections, tls, inject, log }: AcceptOptions): (socket: Socket) => void {
  function begin(socket: Socket): void {
    connections.add(socket);
    newcomers.add(socket);
    inject(socket);
  }
  if (tls === undefined) {
    return (socket) => {
      if (limiter.admits(socket)) begin(socket);
    };
  }

  // This server does not listen: the listeners accept connections and hand them over.
  const server = createServer({ ...tls.options(), ALPNProtocols: ["h2"] });
  tls.keep(server);
  const refused = (socket: Socket, reason: string) => log.debug({ peer: socket.remoteAddress, reason }, "a TLS handshake failed");
  server.on("tlsClientError", (error, socket) => refused(socket, messageOf(error)));
  server.on("secureConnection", (socket: TLSSocket) => {
    if (tls.refuses(socket)) {
      refused(socket, "its certificate is of no authority that is trusted");
      socket.destroy();
      return;
    }
    socket.on("error", ignore); // gRPC hears of the end, which is all there is to know
    begin(socket);
  });
  return (socket) => {
    if (!limiter.admits(socket)) return;
    newcomers.add(socket);
    server.emit("connection", socket);
  };
}

function ignore(): void {}

/** The connection preface of HTTP/2 (24 bytes), and the head of the SETTINGS frame that has to follow (9): less is nobody who speaks it. */
const PREFACE_BYTES = 33;

/** How long a connection may take for its preface, milliseconds. */
export const PREFACE_MS = 10_000;

const LOOK_EVERY_MS = 1000;

/** Ends connections that do not say within some seconds that they speak HTTP/2. No timer per connection: they are looked at in the order in which they came. */
export class Newcomers {
  readonly #clock: Clock;
  #waiting: { socket: Socket; since: number }[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(socket: Socket): void {
    this.#waiting.push({ socket, since: this.#clock.monotonic() });
  }

  /** Until the signal is aborted. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#clock.sleep(LOOK_EVERY_MS, signal).catch(() => {});
      if (!signal.aborted) this.endLate();
    }
  }

  /** Ends all that came a short while ago: of those that came to a server that is stopping, what is left are unfinished handshakes. */
  endAll(): void {
    for (const { socket } of this.#waiting.splice(0)) socket.destroy();
  }

  /** Ends those whose time is up. */
  endLate(): void {
    const now = this.#clock.monotonic();
    const young = this.#waiting.findIndex(({ since }) => now - since < PREFACE_MS);
    const due = young === -1 ? this.#waiting.splice(0) : this.#waiting.splice(0, young);
    for (const { socket } of due) if (socket.bytesRead < PREFACE_BYTES) socket.destroy();
  }
}
