import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer, type RequestListener, type ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { BODY_BEFORE_LOGIN, RequestBudget, SMALL_BYTES } from "../../common/listen/request-budget.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { callerOf } from "./exchange.ts";
import { RequestBodies } from "./request-body.ts";

const ALL = { inAll: 10_000_000, beforeLogin: 10_000_000 };

/** A server that reads bodies, and answers when a test says so. */
class Rig implements AsyncDisposable {
  readonly bodies: RequestBodies;
  readonly read: { response: ServerResponse; bytes: number }[] = [];
  /** Authorizations that were asked for. */
  readonly asked: string[] = [];
  readonly #server = createServer();
  readonly #sockets: Socket[] = [];

  constructor(limits = ALL, loginBytes?: number) {
    const check = async (authorization = "") => {
      this.asked.push(authorization);
      if (!authorization.startsWith("valid")) throw new NebulaError("unauthenticated", "no login");
    };
    this.bodies = new RequestBodies(({ request }) => check(request.headers.authorization), new RequestBudget(limits), loginBytes);
    const listener: RequestListener = (request, response) => {
      const body = this.bodies.of({ request, response, caller: callerOf(request), path: "/" });
      const bytes = request.headers.from === "login" ? body.readSmall(8192) : body.read();
      bytes.then(
        (bytes) => this.read.push({ response, bytes: bytes.length }),
        (error: unknown) => response.writeHead(error instanceof NebulaError ? 401 : 500).end(String(error)),
      );
    };
    this.#server.on("request", listener);
  }

  static async start(limits = ALL, loginBytes?: number): Promise<Rig> {
    const rig = new Rig(limits, loginBytes);
    rig.#server.listen(0, "127.0.0.1");
    await once(rig.#server, "listening");
    return rig;
  }

  get #port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  send(bytes: number, authorization = "", headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.#port}`, { method: "POST", body: "x".repeat(bytes), headers: { authorization, ...headers } });
  }

  /** Announces a body, and sends a part of it. */
  async announce(length: number, sent: string, authorization = "valid"): Promise<void> {
    const socket = connect(this.#port, "127.0.0.1");
    this.#sockets.push(socket);
    socket.on("error", () => {});
    await once(socket, "connect");
    socket.write(`POST / HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\ncontent-length: ${length}\r\n\r\n${sent}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

describe("bodies of requests", () => {
  it("bodies hold the bytes that have arrived, and nothing of a length that is announced", async () => {
    await using rig = await Rig.start({ inAll: 1_000_000, beforeLogin: 1_000_000 });
    for (let count = 0; count < 60; count++) await rig.announce(4_000_000, "x".repeat(100));
    await eventually(() => rig.bodies.held === 6000);
    const large = rig.send(900_000, "valid");
    await eventually(() => rig.read.length === 1);
    assert.equal(rig.bodies.held, 906_000);
    rig.read[0]?.response.end("read");
    assert.equal(await (await large).text(), "read");
    await eventually(() => rig.bodies.held === 6000);
  });

  it("bodies of one login are refused where they hold too much together, and those of others are read", async () => {
    await using rig = await Rig.start(ALL, 1_000_000);
    for (let count = 0; count < 3; count++) await rig.announce(4_000_000, "x".repeat(300_000), "valid of the greedy");
    await eventually(() => rig.bodies.held === 900_000);
    assert.match(await (await rig.send(200_000, "valid of the greedy")).text(), /of this login that are under way hold too much/);
    assert.equal(rig.bodies.held, 900_000);
    const other = rig.send(900_000, "valid of another");
    await eventually(() => rig.read.length === 1);
    rig.read[0]?.response.end("read");
    assert.equal(await (await other).text(), "read");
    const again = rig.send(90_000, "valid of another"); // nothing is left of what was answered
    await eventually(() => rig.read.length === 2);
    rig.read[1]?.response.end("read");
    assert.equal(await (await again).text(), "read");
  });

  it("bodies are refused where all hold too much, and admitted when there is room again", async () => {
    await using rig = await Rig.start({ inAll: 1_000_000, beforeLogin: 1_000_000 });
    const first = rig.send(900_000, "valid");
    await eventually(() => rig.read.length === 1);
    const refused = await rig.send(200_000, "valid");
    assert.match(await refused.text(), /the requests under way hold too much/);
    assert.equal(rig.bodies.held, 900_000);
    rig.read[0]?.response.end();
    await first;
    const again = rig.send(200_000, "valid");
    await eventually(() => rig.read.length === 2);
    rig.read[1]?.response.end("read");
    assert.equal(await (await again).text(), "read");
  });

  it("bodies of the login that holds most lose their room first, and those of others are read, large ones too", async () => {
    await using rig = await Rig.start({ inAll: 1_000_000, beforeLogin: 1_000_000 });
    for (let login = 0; login < 4; login++) await rig.announce(4_000_000, "x".repeat(230_000 + login * 1000), `valid ${login}`);
    await eventually(() => rig.bodies.held === 926_000);
    const honest = rig.send(150_000, "valid and honest");
    await eventually(() => rig.read.length === 1);
    rig.read[0]?.response.end("read");
    assert.equal(await (await honest).text(), "read");
    await eventually(() => rig.bodies.held === 926_000 - 233_000);
  });

  it("bodies of a login that holds little are read, though those that are being answered hold all the room", async () => {
    await using rig = await Rig.start({ inAll: 1_000_000, beforeLogin: 1_000_000 }, 400_000);
    const held = Array.from({ length: 4 }, (_, login) => rig.send(250_000, `valid ${login}`));
    await eventually(() => rig.read.length === 4);
    assert.equal(rig.bodies.held, 1_000_000);
    const honest = rig.send(5000, "valid and honest");
    await eventually(() => rig.read.length === 5);
    rig.read[4]?.response.end("read");
    assert.equal(await (await honest).text(), "read");
    const large = await rig.send(SMALL_BYTES + 1000, "valid and large");
    assert.match(await large.text(), /the requests under way hold too much/);
    assert.equal((await rig.send(1000, "wrong")).status, 401);
    for (const { response } of rig.read) response.end();
    await Promise.all(held);
  });

  it("bodies above 64 KiB are read further only after their Authorization was checked", async () => {
    await using rig = await Rig.start();
    const refused = await rig.send(4_000_000, "wrong");
    assert.deepEqual([refused.status, await refused.text(), rig.bodies.held], [401, "NebulaError: no login", 0]);
    await rig.announce(4_000_000, "x".repeat(BODY_BEFORE_LOGIN + 1), "");
    await eventually(() => rig.asked.length === 2);
    await eventually(() => rig.bodies.held === 0);
    const [small, large] = [rig.send(BODY_BEFORE_LOGIN), rig.send(4_000_000, "valid")];
    await eventually(() => rig.read.length === 2);
    assert.deepEqual(rig.asked, ["wrong", "", "valid"]);
    assert.deepEqual(rig.read.map(({ bytes }) => bytes).toSorted(), [4_000_000, BODY_BEFORE_LOGIN].toSorted());
    for (const { response } of rig.read) response.end();
    await Promise.all([small, large]);
  });

  it("bodies of callers without a login keep out none that has one", async () => {
    await using rig = await Rig.start({ inAll: 1_000_000, beforeLogin: 10_000 });
    for (let count = 0; count < 20; count++) await rig.announce(5000, "x".repeat(1000), "");
    await eventually(() => rig.asked.length >= 10);
    assert.ok(rig.bodies.held <= 11_000 && rig.bodies.held >= 9000, String(rig.bodies.held));
    const known = rig.send(500, "valid");
    await eventually(() => rig.read.length === 1);
    rig.read[0]?.response.end("read");
    assert.equal(await (await known).text(), "read");
  });

  it("bodies of logins are read though others without a login hold all that they may, and are refused above their bound", async () => {
    await using rig = await Rig.start({ inAll: 1_000_000, beforeLogin: 10_000 });
    for (let count = 0; count < 20; count++) await rig.announce(5000, "x".repeat(1000), "");
    await eventually(() => rig.asked.length === 10 && rig.bodies.held === 10_000);
    const { held } = rig.bodies;
    const login = rig.send(8192, "", { from: "login" });
    await eventually(() => rig.read.length === 1);
    assert.equal(rig.bodies.held, held + 8192);
    rig.read[0]?.response.end("read");
    assert.equal(await (await login).text(), "read");
    assert.match(await (await rig.send(500_000, "", { from: "login" })).text(), /has more than 8192 bytes; use at most 8192/);
    assert.equal(rig.asked.length, 10);
    await eventually(() => rig.bodies.held === held);
  });
});
