import { createServer, type Server, type Socket } from "node:net";
import { CannotListen } from "../../common/http/listen.ts";
import type { Log } from "../../common/log/log.ts";
import type { ListenAddress } from "../../common/settings/settings.ts";

export type ListenOptions = Readonly<{
  /** Sockets that share the port: each accepts one connection per turn of the event loop, so more of them let a storm in faster. More than one needs SO_REUSEPORT (Linux). */
  listeners: number;
  /** Connections that wait in the kernel to be accepted, per listener; net.core.somaxconn caps it. */
  backlog: number;
  log: Log;
}>;

export type Listeners = { readonly port: number /** No connection is accepted any more; open ones go on. */; close(): void };

/** How many listeners this system can have on one port. */
export const LISTENERS_HERE = process.platform === "linux" ? 8 : 1;

/**
 * Accepts connections. Rejects with CannotListen (`failed_precondition`) when the address is taken, or is not one of this machine.
 * @param accept takes each connection over, before anything was read from it
 */
export async function openListeners(address: ListenAddress, options: ListenOptions, accept: (socket: Socket) => void): Promise<Listeners> {
  const { host } = address;
  if (options.listeners === 1) {
    const only = await listen(address, options, false, accept);
    return { port: portOf(only), close: () => only.close() };
  }
  // Sockets that share a port take it from nobody, not even from another manager: so the address is first taken alone.
  const probe = await listen(address, options, false, (socket) => socket.destroy());
  const port = portOf(probe);
  await new Promise<void>((resolve) => probe.close(() => resolve()));
  const servers: Server[] = [];
  const close = () => {
    for (const server of servers) server.close();
  };
  try {
    for (let count = 0; count < options.listeners; count++) servers.push(await listen({ host, port }, options, true, accept));
  } catch (error) {
    close();
    throw error;
  }
  return { port, close };
}

function listen(
  { host, port }: ListenAddress,
  { backlog, log }: ListenOptions,
  reusePort: boolean,
  accept: (socket: Socket) => void,
): Promise<Server> {
  const server = createServer((socket) => {
    name(socket);
    accept(socket);
  });
  const name = localNameOf(server);
  return new Promise((resolve, reject) => {
    server.on("error", (error) => {
      if (server.listening) log.warn({ err: error }, "a connection could not be accepted");
      else reject(new CannotListen({ host, port }, "NEBULA_GRPC_LISTEN", error));
    });
    server.listen({ host, port, backlog, reusePort }, () => resolve(server));
  });
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

/**
 * Tells a connection the address that it came in at, which is its listener's. gRPC asks for it at every call, and each time is a system call and an object
 * for every device, which nothing here ever looks at. The name is Node's own (`socket.localAddress` remembers its first answer under it); a Node that does not
 * know it asks the kernel, and is right as well. A listener on every interface (0.0.0.0) is known by that.
 */
export function localNameOf(server: Server): (socket: Socket) => void {
  let name: ReturnType<Server["address"]> = null;
  return (socket) => {
    name ??= server.address();
    if (name !== null) Reflect.set(socket, "_sockname", name);
  };
}
