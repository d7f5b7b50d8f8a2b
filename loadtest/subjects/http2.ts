import { fileURLToPath } from "node:url";
import { sharedNow } from "../client/fleet-protocol.ts";
import { grpcMessage } from "../client/h2-frames.ts";
import { BenchProcess, isReady, NODE_FLAGS } from "../processes/bench-process.ts";
import type { Subject, SubjectOptions } from "./subject.ts";

/** As long as a device's. */
const TOKEN = "0".repeat(64);
const SERVER_FILE = fileURLToPath(new URL("../servers/bare-http2.ts", import.meta.url));

/** A bare node:http2 server: the floor of the runtime. */
export async function openHttp2({ payloadBytes, processors, signal }: SubjectOptions): Promise<Subject> {
  await using opening = new AsyncDisposableStack();
  const server = opening.use(
    new BenchProcess({ name: "the bare http2 server", command: [process.execPath, ...NODE_FLAGS, SERVER_FILE, TOKEN], processors, signal }),
  );
  const { port } = await server.next(isReady);
  let pushes = 0;
  const push = async () => {
    await server.ask({ kind: "push", bytes: grpcMessage(Buffer.alloc(payloadBytes, pushes++ % 256)) }, isPushing);
    return sharedNow();
  };
  await push();
  const opened = opening.move();
  return {
    name: "http2",
    figures: () => server.figures(),
    // the etag has the size of a real one, so that a new watch costs the same bytes
    target: async () => ({
      protocol: "grpc",
      port,
      headers: { authorization: `Bearer ${TOKEN}` },
      deviceGroup: "bench",
      etag: "0".repeat(22),
    }),
    push,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

function isPushing(message: unknown): message is { kind: "pushing" } {
  return typeof message === "object" && message !== null && "kind" in message && message.kind === "pushing";
}
