import type { Socket } from "node:net";

/** Under which a socket keeps its peer. The socket that HTTP/2 shows of a session hands it out, too. */
const PEER = Symbol("peer");

/** The open connections, by their peer's address and port as gRPC names it. */
export class Connections {
  readonly #byPeer = new Map<string, Socket>();
  /** Bytes heard on each connection when they were last looked at. */
  #heard = new Map<Socket, number>();
  readonly #onEmpty: (() => void)[] = [];
  /** One listener for all sockets: there are very many. */
  readonly #onClose: (this: Socket) => void;

  constructor() {
    const forget = (socket: Socket) => this.#forget(socket);
    this.#onClose = function () {
      forget(this);
    };
  }

  add(socket: Socket): void {
    if (socket.remoteAddress === undefined) return; // gone already
    const peer = `${socket.remoteAddress}:${socket.remotePort}`;
    Reflect.set(socket, PEER, peer);
    this.#byPeer.set(peer, socket);
    socket.on("close", this.#onClose);
  }

  #forget(socket: Socket): void {
    const peer = peerOf(socket);
    if (this.#byPeer.get(peer) === socket) this.#byPeer.delete(peer);
    if (this.#byPeer.size === 0) for (const resolve of this.#onEmpty.splice(0)) resolve();
  }

  /** @param peer address:port, as a gRPC call's getPeer() says it */
  of(peer: string): Socket | undefined {
    return this.#byPeer.get(peer);
  }

  get size(): number {
    return this.#byPeer.size;
  }

  /** Ends the connections on which nothing was heard since the last call: peers that died without a word. */
  endIdle(): void {
    const before = this.#heard;
    this.#heard = new Map();
    for (const socket of this.#byPeer.values()) {
      if (before.get(socket) === socket.bytesRead) socket.destroy();
      else this.#heard.set(socket, socket.bytesRead);
    }
  }

  /** Resolves when there is no connection (any more). */
  async empty(): Promise<void> {
    if (this.#byPeer.size > 0) await new Promise<void>((resolve) => this.#onEmpty.push(resolve));
  }

  /** Ends every connection now. */
  destroyAll(): void {
    for (const socket of this.#byPeer.values()) socket.destroy();
  }
}

/**
 * The peer of a connection as a gRPC call names it, address:port. Text that was put together once, when the connection
 * was added: it is asked for several times per call, and a map finds a text that it has as its key at once.
 * @param socket the connection's own, or the one that its HTTP/2 session shows
 */
export function peerOf(socket: Pick<Socket, "remoteAddress" | "remotePort">): string {
  const kept: unknown = Reflect.get(socket, PEER);
  return typeof kept === "string" ? kept : `${socket.remoteAddress}:${socket.remotePort}`;
}

/**
 * Stops reading a connection, and returns whether it did: what its peer sends waits in the kernel, and costs nothing. HTTP/2 reads the handle below a socket
 * by itself, so that pausing the socket would stop nothing. The handle is internal to Node: where there is none the connection is read on.
 */
export function stopReading(connection: object): boolean {
  return callHandle(connection, "readStop");
}

/** Reads a connection again that `stopReading` stopped. */
export function resumeReading(connection: object): void {
  callHandle(connection, "readStart");
}

function callHandle(connection: object, method: "readStop" | "readStart"): boolean {
  if (Reflect.get(connection, "destroyed") === true) return false;
  const handle: unknown = Reflect.get(connection, "_handle");
  const call: unknown = typeof handle === "object" && handle !== null ? Reflect.get(handle, method) : undefined;
  if (typeof call !== "function") return false;
  call.call(handle);
  return true;
}
