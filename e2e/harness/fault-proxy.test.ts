import { strict as assert } from "node:assert";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { eventually } from "../../common/testing/eventually.ts";
import { freePort } from "../../common/testing/free-port.ts";
import { throughout } from "../../common/testing/throughout.ts";
import { FaultProxy, reset } from "./fault-proxy.ts";

/** A server that answers each line with "re: " and the line. */
class Echo implements AsyncDisposable {
  readonly lines: string[] = [];
  readonly sockets = new Set<Socket>();
  readonly #server: Server;

  constructor() {
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket)).on("error", () => {});
      socket.on("end", () => socket.end("bye\n"));
      createInterface(socket)
        .on("line", (line) => {
          this.lines.push(line);
          socket.write(`re: ${line}\n`);
        })
        .on("error", () => {});
    });
  }

  async listen(): Promise<string> {
    const port = await freePort();
    await once(this.#server.listen(port, "127.0.0.1"), "listening");
    return `127.0.0.1:${port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}

class Client implements Disposable {
  readonly socket: Socket;
  received = "";
  ended = false;
  error: string | undefined;

  constructor(port: number) {
    this.socket = connect(port, "127.0.0.1").setEncoding("utf8").setNoDelay();
    this.socket.on("data", (text: string) => {
      this.received += text;
    });
    this.socket.on("end", () => {
      this.ended = true;
    });
    this.socket.on("error", (error: NodeJS.ErrnoException) => {
      this.error = error.code ?? error.message;
    });
  }

  say(line: string): void {
    this.socket.write(`${line}\n`);
  }

  async hears(text: string): Promise<void> {
    await eventually(() => this.received === text);
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

describe("fault proxy", () => {
  let echo: Echo;
  let proxy: FaultProxy;
  let opened: DisposableStack;
  const client = () => opened.use(new Client(proxy.port));

  beforeEach(async () => {
    opened = new DisposableStack();
    echo = new Echo();
    proxy = await FaultProxy.start({ target: await echo.listen(), cuts: (sent) => !sent.includes("keep") });
  });

  afterEach(async () => {
    opened.dispose();
    await proxy[Symbol.asyncDispose]();
    await echo[Symbol.asyncDispose]();
  });

  it("the proxy listens on no port that the system would give to an outgoing connection while it refuses", async () => {
    const [lowest] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").split(/\s/).map(Number);
    assert.ok(lowest !== undefined && proxy.port < lowest, `${proxy.port}`);
  });

  it("the proxy passes everything on in both directions, ends included, while no fault is set", async () => {
    const one = client();
    one.say("hello");
    await one.hears("re: hello\n");
    one.socket.end();
    await one.hears("re: hello\nbye\n");
    await eventually(() => one.ended && proxy.connections.length === 0);
    assert.deepEqual(proxy.struck, { "black hole": 0, delay: 0, cut: 0, "half-open": 0, refuse: 0 });
  });

  it("the proxy passes a megabyte through unchanged while the receiver is slow", async () => {
    const one = client();
    one.socket.pause();
    const lines = Array.from({ length: 40_000 }, (_, i) => `line number ${i}, with some more text`);
    for (const line of lines) one.say(line);
    await eventually(() => echo.lines.length === lines.length);
    one.socket.resume();
    await one.hears(lines.map((line) => `re: ${line}\n`).join(""));
  });

  it("the proxy holds bytes in a black hole, and lets them arrive in order when that ends", async () => {
    const one = client();
    one.say("before");
    await one.hears("re: before\n");
    await proxy.set("black hole");
    one.say("a");
    one.say("b");
    await eventually(() => proxy.struck["black hole"] > 0);
    await throughout(100, () => assert.deepEqual(echo.lines, ["before"]), { everyMs: 20 });
    assert.equal(one.ended, false);
    await proxy.set(undefined);
    await one.hears("re: before\nre: a\nre: b\n");
  });

  it("the proxy holds answers in a black hole too, and accepts connections that nothing answers", async () => {
    await proxy.set("black hole");
    const one = client();
    await once(one.socket, "connect");
    one.say("x");
    await eventually(() => proxy.struck["black hole"] === 1);
    for (const socket of await eventually(() => echo.sockets.size === 1 && [...echo.sockets])) socket.write("greeting\n");
    await eventually(() => proxy.struck["black hole"] === 2);
    assert.equal(one.received, "");
    await proxy.set(undefined);
    await one.hears("greeting\nre: x\n");
  });

  it("the proxy delays everything by half a second without adding up, and no longer when the fault ends", async () => {
    const one = client();
    await proxy.set("delay");
    const began = performance.now();
    for (const line of ["a", "b", "c"]) one.say(line);
    await one.hears("re: a\nre: b\nre: c\n");
    const took = performance.now() - began;
    assert.ok(took >= 990 && took < 2900, `both directions took ${took} ms`); // 3 s and more if it added up
    assert.ok(proxy.struck.delay >= 2);
    await proxy.set(undefined);
    const again = performance.now();
    one.say("d");
    await one.hears("re: a\nre: b\nre: c\nre: d\n");
    assert.ok(performance.now() - again < 950); // 1 s and more with the fault
  });

  it("the proxy cuts a connection after its request was forwarded and before the answer arrives", async () => {
    const one = client();
    one.say("first");
    await one.hears("re: first\n");
    await proxy.set("cut");
    one.say("second");
    await eventually(() => one.error === "ECONNRESET");
    assert.deepEqual(echo.lines, ["first", "second"]);
    assert.equal(one.received, "re: first\n");
    assert.equal(proxy.struck.cut, 1);
  });

  it("the proxy cuts only after requests of the kind that was asked for", async () => {
    const one = client();
    await proxy.set("cut");
    one.say("keep this one");
    await one.hears("re: keep this one\n");
    one.say("other");
    await eventually(() => one.error === "ECONNRESET");
    assert.deepEqual(echo.lines, ["keep this one", "other"]);
  });

  it("the proxy leaves a client on a half-open connection, also after the fault has ended", async () => {
    const one = client();
    one.say("before");
    await one.hears("re: before\n");
    await proxy.set("half-open");
    await eventually(() => echo.sockets.size === 0);
    one.say("lost");
    await proxy.set(undefined);
    one.say("lost too");
    await throughout(100, () => assert.deepEqual([one.received, one.ended, one.error], ["re: before\n", false, undefined]), { everyMs: 20 });
    assert.deepEqual(echo.lines, ["before"]);
    assert.equal(proxy.struck["half-open"], 1);
    const two = client();
    two.say("after");
    await two.hears("re: after\n");
  });

  it("the proxy resets its connections and refuses new ones, and takes them on the same port when that ends", async () => {
    const one = client();
    one.say("before");
    await one.hears("re: before\n");
    await proxy.set("refuse");
    await eventually(() => one.error === "ECONNRESET");
    const two = client();
    await eventually(() => two.error === "ECONNREFUSED");
    assert.equal(proxy.struck.refuse, 1);
    await proxy.set(undefined);
    const three = client();
    three.say("after");
    await three.hears("re: after\n");
  });

  it("the proxy disturbs one connection alone where asked to", async () => {
    const [one, two] = [client(), client()];
    one.say("1");
    two.say("2");
    await one.hears("re: 1\n");
    await two.hears("re: 2\n");
    const disturbed = proxy.connections.find(({ clientPort }) => clientPort === two.socket.localPort) ?? assert.fail("not found");
    disturbed.set("black hole");
    one.say("3");
    two.say("4");
    await one.hears("re: 1\nre: 3\n");
    assert.equal(two.received, "re: 2\n");
    disturbed.set(undefined);
    await two.hears("re: 2\nre: 4\n");
  });

  it("the proxy ends the client's connection when the server is gone", async () => {
    const one = client();
    one.say("x");
    await one.hears("re: x\n");
    for (const socket of echo.sockets) socket.resetAndDestroy();
    await eventually(() => one.ended || one.error !== undefined);
  });

  it("the proxy closes both ends of a connection whose end is just being sent", async () => {
    const one = client();
    one.say("x");
    await one.hears("re: x\n");
    for (const socket of [one.socket, ...echo.sockets]) {
      const closed = once(socket, "close", { signal: AbortSignal.timeout(5000) });
      socket.end();
      reset(socket);
      await closed;
      assert.equal(socket.errored, null);
    }
  });
});
