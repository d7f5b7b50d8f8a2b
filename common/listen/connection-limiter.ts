import type { Server, Socket } from "node:net";
import { countedAddress } from "../access/caller-address.ts";
import type { Log } from "../log/log.ts";
import { isLoopback } from "../net/address.ts";
import type { ConnectionLimits } from "../settings/settings.ts";

// Counts the open connections of a listener, in all and by address.
//
// L1: a connection is counted from its acceptance to its close, an unfinished TLS handshake included.
// L2: loopback counts in all only: this machine's own parts come from there, all of them under one address.
// L3: what is refused is one line in the log a minute.

const LINE_EVERY_MS = 60_000;

export type ConnectionLimiterOptions = Readonly<{
  limits: ConnectionLimits;
  /** The settings' names without `NEBULA_`: GRPC or HTTP. */
  name: "GRPC" | "HTTP";
  log: Log;
  /** Milliseconds of a clock that only rises. */
  now?: () => number;
}>;

export class ConnectionLimiter {
  readonly #options: ConnectionLimiterOptions;
  readonly #byAddress = new Map<string, number>();
  #open = 0;
  #refused = 0;
  #lastLine = Number.NEGATIVE_INFINITY;
  /** One listener for all sockets: there are very many. */
  readonly #onClose: (this: Socket) => void;

  constructor(options: ConnectionLimiterOptions) {
    this.#options = options;
    const left = (socket: Socket) => this.#left(socket);
    this.#onClose = function () {
      left(this);
    };
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#open;
  }

  /** Counts a connection that was just accepted; false: it is one too many, and was closed. */
  admits(socket: Socket): boolean {
    const address = counted(socket);
    const { inAll, perAddress } = this.#options.limits;
    const ofAddress = address === undefined ? 0 : (this.#byAddress.get(address) ?? 0);
    if (this.#open >= inAll) return this.#refuse(socket, `NEBULA_${this.#options.name}_CONNECTIONS`, inAll);
    if (ofAddress >= perAddress) return this.#refuse(socket, `NEBULA_${this.#options.name}_CONNECTIONS_PER_ADDRESS`, perAddress);
    if (address !== undefined) this.#byAddress.set(address, ofAddress + 1);
    this.#open++;
    socket.on("close", this.#onClose); // L1
    return true;
  }

  /** Has a server that accepts by itself close what is one too many before it looks at it. */
  guard(server: Server): void {
    const handlers = server.listeners("connection");
    server.removeAllListeners("connection");
    server.on("connection", (socket: Socket) => {
      if (this.admits(socket)) for (const handler of handlers) Reflect.apply(handler, server, [socket]);
    });
  }

  #left(socket: Socket): void {
    this.#open--;
    const address = counted(socket);
    if (address === undefined) return;
    const rest = (this.#byAddress.get(address) ?? 1) - 1;
    if (rest > 0) this.#byAddress.set(address, rest);
    else this.#byAddress.delete(address);
  }

  #refuse(socket: Socket, setting: string, limit: number): false {
    this.#refused++;
    const now = (this.#options.now ?? performance.now.bind(performance))();
    if (now - this.#lastLine >= LINE_EVERY_MS) {
      this.#lastLine = now; // L3
      const refused = this.#refused;
      this.#refused = 0;
      this.#options.log.warn({ peer: socket.remoteAddress, limit, refused }, `too many connections, new ones are closed: ${setting} is reached`);
    }
    socket.destroy();
    return false;
  }
}

/** The address that a connection counts for; a socket knows it after its end, too, once it was asked before. undefined: for none (L2). */
function counted({ remoteAddress }: Socket): string | undefined {
  if (remoteAddress === undefined || remoteAddress.startsWith("127.") || remoteAddress === "::1") return undefined;
  const address = countedAddress(remoteAddress);
  return isLoopback(address) ? undefined : address;
}
