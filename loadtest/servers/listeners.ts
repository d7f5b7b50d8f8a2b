import { once } from "node:events";
import { createServer, type Socket } from "node:net";

/** Several listeners on one port, each accepting one connection per turn of the event loop, as the manager has them. */
export async function listenWithReusePort(
  onConnection: (socket: Socket) => void,
  { listeners, backlog }: { listeners: number; backlog: number },
): Promise<{ port: number }> {
  let port = 0;
  for (let i = 0; i < listeners; i++) {
    const server = createServer(onConnection);
    server.listen({ host: "127.0.0.1", port, backlog, reusePort: true });
    await once(server, "listening");
    const address = server.address();
    if (address !== null && typeof address === "object") port = address.port;
  }
  return { port };
}
