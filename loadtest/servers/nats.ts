import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { messageOf, NebulaError } from "../../common/errors/nebula-error.ts";

/** Whether nats-server (a Debian package) is installed. */
export function natsInstalled(): boolean {
  return spawnSync("nats-server", ["--version"]).status === 0;
}

const OPEN_LIMIT_MS = 10_000;
const OPEN_EVERY_MS = 50;

/** A publisher by NATS's text protocol. */
export class NatsPublisher implements Disposable {
  readonly #socket: Socket;
  #lost: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => {
      if (chunk.includes("PING\r\n")) socket.write("PONG\r\n");
    });
    socket.on("error", (error) => {
      this.#lost ??= error;
    });
    socket.on("close", () => {
      this.#lost ??= new NebulaError("unavailable", "nats-server closed the publisher's connection");
    });
    socket.write('CONNECT {"verbose":false,"pedantic":false}\r\n');
  }

  /** Connects as soon as the server listens, within 10 s. @param check throws when there is no server to wait for */
  static async open(port: number, check: () => void): Promise<NatsPublisher> {
    const end = performance.now() + OPEN_LIMIT_MS;
    for (;;) {
      const socket = connect({ host: "127.0.0.1", port, noDelay: true });
      try {
        await once(socket, "data"); // INFO
        return new NatsPublisher(socket);
      } catch (error) {
        check();
        if (performance.now() > end) throw new NebulaError("unavailable", `nats-server does not answer: ${messageOf(error)}`, { cause: error });
        await delay(OPEN_EVERY_MS);
      }
    }
  }

  /** @throws when the connection is over */
  publish(payload: Uint8Array): void {
    if (this.#lost !== undefined) throw this.#lost;
    this.#socket.write(Buffer.concat([Buffer.from(`PUB group ${payload.length}\r\n`), payload, Buffer.from("\r\n")]));
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
