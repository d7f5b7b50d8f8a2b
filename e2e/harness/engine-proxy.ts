import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DOCKER_SOCKET } from "../../common/testing/require-docker.ts";

/** The outcome of a request in place of the engine's answer: no answer at all, or a refusal with this status and body. */
export type EngineTrouble = "hangs" | Readonly<{ status: number; body: string }>;

/** A Docker Engine, the machine's unless another one is given, behind a proxy that refuses, or never answers, some requests. */
export class EngineProxy implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "nebula-e2e-proxy-"));
  readonly socket = join(this.#folder, "docker.sock");
  readonly #server = createServer((asked, answer) => this.#serve(asked, answer));
  readonly #troubleOf: (path: string) => EngineTrouble | undefined;
  readonly #engineSocket: string;

  private constructor(troubleOf: (path: string) => EngineTrouble | undefined, engineSocket: string) {
    this.#troubleOf = troubleOf;
    this.#engineSocket = engineSocket;
  }

  /** @param troubleOf asked for the path of each request; undefined: the engine answers */
  static async start(troubleOf: (path: string) => EngineTrouble | undefined, engineSocket = DOCKER_SOCKET): Promise<EngineProxy> {
    const proxy = new EngineProxy(troubleOf, engineSocket);
    await once(proxy.#server.listen(proxy.socket), "listening");
    return proxy;
  }

  #serve(asked: IncomingMessage, answer: ServerResponse): void {
    const { url: path = "/", method = "GET", headers } = asked;
    const trouble = this.#troubleOf(path);
    if (trouble === "hangs") return;
    if (trouble !== undefined) {
      answer.writeHead(trouble.status).end(trouble.body);
      return;
    }
    const passed = request({ socketPath: this.#engineSocket, path, method, headers }, (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      answer.flushHeaders();
      response.on("error", () => answer.destroy()).pipe(answer);
    });
    passed.on("error", () => answer.destroy());
    answer.on("close", () => passed.destroy());
    asked.pipe(passed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
