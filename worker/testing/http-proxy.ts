import { once } from "node:events";
import {
  type ClientHttp2Session,
  connect,
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";

/**
 * A proxy of HTTP/2 that passes a request on once it has all of it: one that streams is held back, or answered by an error of the proxy. Answers pass as
 * they come. For tests only.
 */
export class HttpProxy implements AsyncDisposable {
  address = "";
  /** The method of each request that came, oldest first: WatchConfig. */
  readonly methods: string[] = [];
  /** The HTTP status by which requests that stream are answered at once; undefined: they are held back. */
  refusal: number | undefined;
  readonly #server: Http2Server = createServer();
  readonly #sessions = new Set<ServerHttp2Session>();
  #target: ClientHttp2Session | undefined;

  private constructor() {
    this.#server.on("session", (session) => {
      this.#sessions.add(session);
      session.on("close", () => this.#sessions.delete(session));
    });
    this.#server.on("stream", (stream: ServerHttp2Stream, headers) => this.#take(stream, headers));
  }

  /** Listens; requests need a target. */
  static async open(): Promise<HttpProxy> {
    const proxy = new HttpProxy();
    await once(proxy.#server.listen(0, "127.0.0.1"), "listening");
    const address = proxy.#server.address();
    if (typeof address !== "object" || address === null) throw new Error("no address");
    proxy.address = `127.0.0.1:${address.port}`;
    return proxy;
  }

  /** @param address host:port to which requests are passed on */
  passTo(address: string): void {
    this.#target = connect(`http://${address}`).on("error", () => {});
  }

  /** How many requests of a method came. */
  count(method: string): number {
    return this.methods.filter((each) => each === method).length;
  }

  /** Cuts the connections of the clients. */
  cut(): void {
    for (const session of this.#sessions) session.destroy();
  }

  #take(near: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const method = headers[":path"]?.split("/").at(-1) ?? "";
    this.methods.push(method);
    near.on("error", () => {});
    if (this.refusal !== undefined && method === "WatchAndReport") {
      near.respond({ ":status": this.refusal }, { endStream: true });
      return;
    }
    const body: Uint8Array[] = [];
    near.on("data", (chunk: Uint8Array) => body.push(chunk));
    near.on("end", () => near.aborted || this.#passOn(near, headers, Buffer.concat(body)));
  }

  #passOn(near: ServerHttp2Stream, headers: IncomingHttpHeaders, body: Uint8Array): void {
    const far = this.#target?.request(headers);
    if (far === undefined) throw new Error("the proxy has no target");
    let trailers: IncomingHttpHeaders = {};
    far.on("error", () => near.close(constants.NGHTTP2_REFUSED_STREAM));
    far.on("response", (answer, flags) =>
      near.respond(answer, flags & constants.NGHTTP2_FLAG_END_STREAM ? { endStream: true } : { waitForTrailers: true }),
    );
    far.on("trailers", (received) => {
      trailers = received;
    });
    near.on("wantTrailers", () => near.sendTrailers(trailers));
    near.on("close", () => far.close(constants.NGHTTP2_CANCEL));
    far.pipe(near);
    far.end(body);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#target?.destroy();
    this.#server.close();
  }
}
