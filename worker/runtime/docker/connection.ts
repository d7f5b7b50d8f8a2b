import { Agent } from "node:http";
import { Readable } from "node:stream";
import { inspect } from "node:util";
import Docker from "dockerode";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { CALL_LIMIT_MS } from "../container-runtime.ts";
import { callDocker } from "./call.ts";
import { errorFromDocker, statusOf } from "./errors.ts";

const DEFAULT_TCP_PORT = 2375;

export type DockerRequest = Readonly<{
  /** Names the call in messages: "start container". */
  what: string;
  method: "GET" | "POST" | "DELETE";
  path: string;
  query?: Readonly<Record<string, string | number | boolean>>;
  body?: Readonly<Record<string, unknown>>;
  /** Headers that carry a login are made of this. */
  authConfig?: Readonly<Record<string, string>> | undefined;
  /** Milliseconds; the connection's limit unless given. */
  limitMs?: number | undefined;
  /** The HTTP status which says that there was nothing to do, or nothing there: it is answered with undefined. */
  fineStatus?: number;
  /**
   * The request is about the engine as a whole: a 503 says that the engine is not ready. Of one container a 503 is a
   * refusal like others.
   */
  isOfEngine?: boolean;
}>;

/** docker-modem renders every request with util.inspect, for a debug line that nobody reads: an agent that shows its sockets makes that 10 to 30 ms of CPU a call. */
class TerseAgent extends Agent {
  [inspect.custom](): string {
    return "Agent";
  }
}

const FINE = { 200: true, 201: true, 204: true };

/** The connection to one Docker Engine: calls within a time limit, streams that end with a signal. */
export class DockerConnection implements Disposable {
  readonly #docker: Docker;
  /** Names the engine in messages. */
  readonly where: string;
  readonly #callLimitMs: number;
  readonly #agent = new TerseAgent({ keepAlive: true });
  readonly #closed = new AbortController();

  /**
   * @param url docker:///var/run/docker.sock or docker://host:port; throws `invalid_argument` for another form
   * @param callLimitMs how long a call without a limit of its own may take
   */
  constructor(url: string, callLimitMs = CALL_LIMIT_MS) {
    this.#callLimitMs = callLimitMs;
    const target = parseDockerUrl(url);
    // host and port are named so that DOCKER_HOST in the environment does not win
    const options = { host: undefined, port: undefined, ...target, protocol: "http" as const, agent: this.#agent };
    this.#docker = new Docker(options);
    this.where = "socketPath" in target ? target.socketPath : `${target.host}:${target.port}`;
  }

  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** One call and its answer, parsed as JSON where it is JSON. Rejects with a NebulaError. */
  call(request: DockerRequest, signal: AbortSignal): Promise<unknown> {
    const { what, limitMs = this.#callLimitMs, fineStatus, isOfEngine = false } = request;
    return callDocker({ signal, limitMs, where: this.where, what }, async (abortSignal) => {
      try {
        return await this.#dial(request, false, abortSignal);
      } catch (error) {
        if (fineStatus !== undefined && statusOf(error) === fineStatus) return undefined;
        if (isOfEngine && statusOf(error) === 503) throw new NebulaError("unavailable", errorFromDocker(error, this.where).message, { cause: error });
        throw error;
      }
    });
  }

  /** A stream of the engine's, without a time limit. The stream fails when the signal is aborted, or when this connection is closed. */
  async stream(request: DockerRequest, signal: AbortSignal): Promise<Readable> {
    const either = AbortSignal.any([signal, this.#closed.signal]);
    either.throwIfAborted();
    const stream = await this.#dial(request, true, either);
    if (!(stream instanceof Readable)) throw new TypeError("the answer is not a stream");
    const onAbort = () => stream.destroy(new NebulaError("cancelled", "the stream was cancelled", { cause: either.reason }));
    either.addEventListener("abort", onAbort);
    stream.once("close", () => either.removeEventListener("abort", onAbort));
    if (either.aborted) onAbort();
    return stream;
  }

  /** By dockerode's transport: its methods for single calls put the body of a create, env values included, into the URL as well. */
  #dial({ method, path, query = {}, body = {}, authConfig }: DockerRequest, isStream: boolean, abortSignal: AbortSignal): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const options = { _query: query, _body: body };
      const login = authConfig === undefined ? {} : { authconfig: { ...authConfig } };
      this.#docker.modem.dial({ path: `${path}?`, method, options, isStream, abortSignal, statusCodes: FINE, ...login }, (error, result) => {
        if (error) reject(error);
        else resolve(result);
      });
    });
  }

  [Symbol.dispose](): void {
    this.#closed.abort(new NebulaError("cancelled", "the connection to the Docker Engine was closed"));
    this.#agent.destroy();
  }
}

function parseDockerUrl(url: string): { socketPath: string } | { host: string; port: number } {
  const parsed = URL.parse(url);
  if (parsed?.protocol === "docker:") {
    if (parsed.hostname !== "") return { host: parsed.hostname, port: parsed.port === "" ? DEFAULT_TCP_PORT : Number(parsed.port) };
    if (parsed.pathname.length > 1) return { socketPath: decodeURIComponent(parsed.pathname) };
  }
  throw new NebulaError("invalid_argument", `invalid runtime "${url}": use docker:///var/run/docker.sock or docker://host:port`);
}
