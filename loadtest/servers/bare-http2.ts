import { hash } from "node:crypto";
import { createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { silentLog } from "../../common/log/log.ts";
import { LISTENERS_HERE, openListeners } from "../../manager/listen/listeners.ts";

/**
 * The floor of the runtime: node:http2 without gRPC or a store. Every request is a watch with a token, whose SHA-256 is looked up among those of 20,000
 * devices: no server that lets only its own devices in could do less. Run by the bench, with the token as its argument; it sends {kind: "push", bytes}.
 *
 * The server does what the manager does: batches that yield to the event loop, one pass over the streams at a time (a push during it goes to the
 * streams that come after at once, to the others in another pass), and for each stream one write in flight and the newest bytes after it.
 */

const BATCH = 32;
const OTHER_TOKENS = 19_999;

const [, , token = ""] = process.argv;
const known = new Set([digest(`Bearer ${token}`), ...Array.from({ length: OTHER_TOKENS }, (_, i) => digest(`Bearer other-${i}`))]);

function digest(authorization: string): string {
  return hash("sha256", authorization, "base64");
}

function isKnown({ authorization }: IncomingHttpHeaders): boolean {
  return authorization !== undefined && known.has(digest(authorization));
}

let newest: Uint8Array = new Uint8Array();

class Watcher {
  readonly #stream: ServerHttp2Stream;
  #told: Uint8Array | undefined;
  #writing = false;

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream;
  }

  advance(): void {
    if (this.#writing || this.#told === newest || this.#stream.destroyed) return;
    this.#told = newest;
    this.#writing = true;
    this.#stream.write(newest, () => {
      this.#writing = false;
      this.advance();
    });
  }
}

const watchers = new Set<Watcher>();
let pass: Iterator<Watcher> | undefined;
let again = false;

function push(bytes: Uint8Array): void {
  newest = bytes;
  if (pass !== undefined) {
    again = true;
    return;
  }
  pass = watchers.values();
  setImmediate(turn);
}

function turn(): void {
  for (let i = 0; i < BATCH && pass !== undefined; i++) {
    const next = pass.next();
    if (!next.done) next.value.advance();
    else pass = again ? watchers.values() : undefined;
    if (next.done) again = false;
  }
  if (pass !== undefined) setImmediate(turn);
}

const server = createServer();
server.on("stream", (stream: ServerHttp2Stream, headers) => {
  if (!isKnown(headers)) {
    stream.respond({ ":status": 401 }, { endStream: true });
    return;
  }
  const watcher = new Watcher(stream);
  stream.on("close", () => watchers.delete(watcher));
  stream.on("error", () => {}); // its close follows
  stream.on("data", () => {}); // what is watched: no server could answer without having read it
  stream.on("end", () => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    watchers.add(watcher);
    watcher.advance();
  });
});
server.on("sessionError", () => {}); // a peer that is gone

process.on("message", (message: { kind: "push"; bytes: Uint8Array }) => {
  push(message.bytes);
  process.send?.({ kind: "pushing" });
});
process.on("disconnect", () => process.exit());

const options = { listeners: LISTENERS_HERE, backlog: 65_535, log: silentLog };
const { port } = await openListeners({ host: "127.0.0.1", port: 0 }, options, (socket) => server.emit("connection", socket));
process.send?.({ kind: "ready", port });
