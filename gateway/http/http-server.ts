import { createServer, type RequestListener, type Server } from "node:http";
import { type ServerOptions, Server as TlsHttpServer } from "node:https";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { messageOf } from "../../common/errors/nebula-error.ts";
import type { ConnectionLimiter } from "../../common/listen/connection-limiter.ts";
import type { Log } from "../../common/log/log.ts";
import type { ServerTls } from "../../common/tls/server-tls.ts";

export type HttpServerOptions = Readonly<{
  listener: RequestListener;
  limiter: ConnectionLimiter;
  /** undefined: clear text. */
  tls: ServerTls | undefined;
  log: Log;
}>;

/** The gateway's HTTP/1.1 server with its limits, over TLS where it has a certificate. A request that breaks HTTP itself is answered in JSON like every other. */
export function createHttpServer({ listener, limiter, tls, log }: HttpServerOptions): Server {
  const options = {
    headersTimeout: HTTP_LIMITS.headersMs,
    requestTimeout: HTTP_LIMITS.requestMs, // of the request alone: a stream of answers has no limit
    maxHeaderSize: HTTP_LIMITS.headerBytes,
    keepAliveTimeout: 65_000, // longer than load balancers keep theirs, which would else send into a closed one
    connectionsCheckingInterval: 2500,
    keepAlive: true, // finds out who vanished from under a quiet stream
    keepAliveInitialDelay: 60_000,
  };
  const server = tls === undefined ? createServer(options, listener) : createSecureServer({ ...options, ...tls.options() }, listener, tls, log);
  limiter.guard(server);
  server.on("clientError", (error: Error, socket: Socket) => answerBroken(error, socket));
  server.prependListener("request", (request, response) => endUnread(request.socket, response));
  return server;
}

/** An HTTPS server to which a connection whose handshake is not over counts as idle: Node's waits for it to the end. */
class SecureServer extends TlsHttpServer {
  readonly #handshaking = new Map<string, Socket>();

  constructor(options: ServerOptions, listener: RequestListener) {
    super(options, listener);
    this.prependListener("connection", (socket: Socket) => {
      const peer = peerOf(socket);
      this.#handshaking.set(peer, socket);
      socket.on("close", () => this.#handshaking.delete(peer));
    });
    this.prependListener("secureConnection", (socket: TLSSocket) => this.#handshaking.delete(peerOf(socket)));
  }

  override closeIdleConnections(): void {
    super.closeIdleConnections();
    for (const socket of this.#handshaking.values()) socket.destroy();
  }
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}:${remotePort}`;
}

function createSecureServer(options: ServerOptions, listener: RequestListener, tls: ServerTls, log: Log): Server {
  const server = new SecureServer(options, listener);
  tls.keep(server);
  const refused = (socket: Socket, reason: string) => log.debug({ peer: socket.remoteAddress, reason }, "a TLS handshake failed");
  server.on("tlsClientError", (error, socket) => refused(socket, messageOf(error)));
  server.prependListener("secureConnection", (socket: TLSSocket) => {
    if (!tls.refuses(socket)) return;
    refused(socket, "its certificate is of no authority that is trusted");
    socket.destroy();
  });
  return server;
}

/** Ends a connection whose answer is complete and is not read. */
function endUnread(socket: Socket, response: Parameters<RequestListener>[1]): void {
  response.once("prefinish", () => {
    if (socket.writableLength === 0) return;
    const late = setTimeout(() => socket.destroy(), HTTP_LIMITS.unreadMs).unref();
    response.once("close", () => clearTimeout(late));
  });
}

type Broken = Readonly<{ status: string; code: string; message: string }>;

function answerBroken(error: Error, socket: Socket): void {
  if (!socket.writable || isAnswering(socket)) return void socket.destroy();
  const { status, code, message } = brokenBy("code" in error ? error.code : undefined);
  const body = `${JSON.stringify({ code, message })}\n`;
  const head = [
    `HTTP/1.1 ${status}`,
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(body)}`,
    "x-content-type-options: nosniff",
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
  socket.destroySoon();
}

function brokenBy(code: unknown): Broken {
  const { headerBytes, headersMs, requestMs } = HTTP_LIMITS;
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return {
        status: "431 Request Header Fields Too Large",
        code: "resource_exhausted",
        message: `the request's headers are larger than ${headerBytes} bytes: send fewer, or shorter ones`,
      };
    case "HPE_CHUNK_EXTENSIONS_OVERFLOW":
      return { status: "413 Payload Too Large", code: "resource_exhausted", message: "the chunks of the request's body carry too much beside it" };
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return {
        status: "408 Request Timeout",
        code: "deadline_exceeded",
        message: `the request was not complete in time: its headers have to come within ${headersMs / 1000} s, all of it within ${requestMs / 1000} s`,
      };
    default:
      return { status: "400 Bad Request", code: "invalid_argument", message: "the request is not valid HTTP/1.1" };
  }
}

/** Whether an answer has begun on the connection: then another one would be read as part of it. Node itself looks there; a Node that keeps it elsewhere closes without an answer. */
function isAnswering(socket: Socket): boolean {
  const answer: unknown = Reflect.get(socket, "_httpMessage");
  return typeof answer === "object" && answer !== null && Reflect.get(answer, "headersSent") !== false;
}

/** The limits of one HTTP request; docs/limits.md names each. Sizes in bytes, times in milliseconds. */
export const HTTP_LIMITS = {
  bodyBytes: 4 * 1024 * 1024,
  /** Of all headers and the request line; above it 431. */
  headerBytes: 16 * 1024,
  /** From the connection, or the end of the request before, to the end of the headers; then 408. */
  headersMs: 10_000,
  /** To the end of the body; then 408. */
  requestMs: 60_000,
  /** How long a complete answer waits for its reader; then the connection is closed. */
  unreadMs: 60_000,
} as const;
