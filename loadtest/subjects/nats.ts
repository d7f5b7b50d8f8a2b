import { freePort } from "../../common/testing/free-port.ts";
import { sharedNow } from "../client/fleet-protocol.ts";
import { BenchProcess } from "../processes/bench-process.ts";
import { NatsPublisher } from "../servers/nats.ts";
import type { Subject, SubjectOptions } from "./subject.ts";

/** A NATS server, as it comes: a peer that does fan-out and nothing else. */
export async function openNats({ payloadBytes, processors, signal }: SubjectOptions): Promise<Subject> {
  await using opening = new AsyncDisposableStack();
  const port = await freePort();
  const server = opening.use(
    new BenchProcess({
      name: "nats-server",
      command: ["nats-server", "-a", "127.0.0.1", "-p", String(port)],
      processors,
      env: processors === undefined ? {} : { GOMAXPROCS: "1" },
      signal,
    }),
  );
  const publisher = opening.use(await NatsPublisher.open(port, () => server.figures()));
  let pushes = 0;
  const opened = opening.move();
  return {
    name: "nats",
    figures: () => server.figures(),
    target: async () => ({ protocol: "nats", port, headers: {}, deviceGroup: "", etag: "" }),
    async push() {
      publisher.publish(Buffer.alloc(payloadBytes, pushes++ % 256));
      return sharedNow();
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}
