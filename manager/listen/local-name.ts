import type { Server, Socket } from "node:net";

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
