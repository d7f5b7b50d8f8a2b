import type { Socket } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import { messageOf } from "../../common/errors/nebula-error.ts";
import type { ConnectionLimiter } from "../../common/listen/connection-limiter.ts";
import type { Log } from "../../common/log/log.ts";
import type { ServerTls } from "../../common/tls/server-tls.ts";
import type { Connections } from "./connections.ts";
import type { Newcomers } from "./newcomers.ts";

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

  // It listens nowhere itself: the listeners accept, with a backlog and in a number of which it knows nothing.
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
