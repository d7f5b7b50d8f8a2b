import type { Server } from "node:http";
import { messageOf, NebulaError } from "../errors/nebula-error.ts";
import { formatAddress } from "../net/address.ts";
import type { ListenAddress } from "../settings/settings.ts";

/** Why an address can't be listened on: somebody else does, or something else is wrong with it. */
export class CannotListen extends NebulaError {
  readonly taken: boolean;

  constructor(address: ListenAddress, setting: string, cause: unknown) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    const where = `${formatAddress(address)} (${setting})`;
    const taken = code === "EADDRINUSE";
    super(
      "failed_precondition",
      taken ? `${where} is taken: stop what listens there, or give another address` : `${where} can't be listened on: ${messageOf(cause)}`,
      { cause },
    );
    this.taken = taken;
  }
}

/** Connections that wait in the kernel to be accepted; net.core.somaxconn caps it. One that finds no place tries again after 1 s, then 3 s, then 7 s. */
const BACKLOG = 65_535;

/**
 * Has a server listen, and answers the address it got (port 0 lets the system choose).
 * @param setting the variable that names the address, for the message
 * @throws CannotListen
 */
export function listen(server: Server, address: ListenAddress, setting: string): Promise<ListenAddress> {
  return new Promise((resolve, reject) => {
    const onError = (error: unknown) => reject(new CannotListen(address, setting, error));
    server.once("error", onError);
    server.listen({ host: address.host, port: address.port, backlog: BACKLOG }, () => {
      server.off("error", onError);
      const got = server.address();
      resolve({ host: address.host, port: typeof got === "object" && got !== null ? got.port : address.port });
    });
  });
}
