import { Agent, request as httpRequest } from "node:http";
import { type ClientHttp2Session, connect } from "node:http2";

/** An answer, as far as it says whose fault it was. */
export type Answer = Readonly<{ status: number; grpcStatus?: number; text: string }>;

/** A stream that goes on is left after this, milliseconds: what it was to say about the request it has said. */
const LEAVE_MS = 150;

/** HTTP requests over connections that are kept. */
export class HttpDoor implements Disposable {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 4 });
  readonly #port: number;

  constructor(port: number) {
    this.#port = port;
  }

  send(method: string, path: string, headers: Readonly<Record<string, string>>, body: Uint8Array): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const options = {
        host: "127.0.0.1",
        port: this.#port,
        agent: this.#agent,
        method,
        path,
        headers: { ...headers, "content-length": body.length },
      };
      const request = httpRequest(options, (response) => {
        const chunks: Buffer[] = [];
        const answer = () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString("latin1") });
        const left = setTimeout(() => {
          answer();
          request.destroy();
        }, LEAVE_MS);
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("close", () => {
          clearTimeout(left);
          answer();
        });
      });
      request.on("error", reject);
      request.end(body);
    });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

/** gRPC as bytes: a client library would send nothing that is malformed. */
export class GrpcDoor implements Disposable {
  readonly #port: number;
  #session: ClientHttp2Session | undefined;

  constructor(port: number) {
    this.#port = port;
  }

  #open(): ClientHttp2Session {
    if (this.#session === undefined || this.#session.closed || this.#session.destroyed) {
      this.#session = connect(`http://127.0.0.1:${this.#port}`);
      this.#session.on("error", () => {}); // told by the stream
    }
    return this.#session;
  }

  send(path: string, headers: Readonly<Record<string, string>>, body: Uint8Array): Promise<Answer> {
    return new Promise((resolve) => {
      const stream = this.#open().request({ ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers", ...headers });
      let status = 0;
      let grpc: { code: number | undefined; text: string } = { code: undefined, text: "" };
      const take = (found: Record<string, unknown>) => {
        if (typeof found["grpc-status"] === "string") grpc = { code: Number(found["grpc-status"]), text: String(found["grpc-message"] ?? "") };
      };
      const leave = setTimeout(() => stream.close(), LEAVE_MS);
      stream.on("response", (found) => {
        status = found[":status"] ?? 0;
        take(found);
      });
      stream.on("trailers", take);
      stream.on("data", () => {});
      stream.on("error", () => {}); // its close follows
      stream.on("close", () => {
        clearTimeout(leave);
        resolve({ status, text: grpc.text, ...(grpc.code === undefined ? {} : { grpcStatus: grpc.code }) });
      });
      stream.end(body);
    });
  }

  [Symbol.dispose](): void {
    this.#session?.destroy();
  }
}
