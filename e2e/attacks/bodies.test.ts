import { strict as assert } from "node:assert";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Server } from "../harness/server.ts";

const CREATE = "/nebula.v1.AppService/CreateApp";
const KB = 1024;

describe("bodies that are made to cost much", function () {
  this.timeout(120_000);
  let server: Server;
  let authorization: string;
  Server.forSuite({ env: { NEBULA_LOG_LEVEL: "error" } }, (started) => {
    server = started;
    authorization = server.api.headers.authorization ?? "";
  });

  async function post(body: string, login = authorization): Promise<{ status: number; text: string; ms: number }> {
    const started = performance.now();
    const headers = { "content-type": "application/json", authorization: login };
    const response = await fetch(server.url + CREATE, { method: "POST", body, headers });
    return { status: response.status, text: await response.text(), ms: performance.now() - started };
  }

  /** The quickest of three. */
  async function quickest(body: string): Promise<number> {
    return Math.min((await post(body)).ms, (await post(body)).ms, (await post(body)).ms);
  }

  it("bodies that repeat in errors take no longer than others of their size, for any text", async () => {
    const bodyOf = (key: string) => JSON.stringify({ [key]: 1 });
    const plain = bodyOf("q".repeat(256 * KB));
    const costly = bodyOf(', "'.repeat((256 * KB) / 4));
    const answer = await post(costly);
    assert.deepEqual([answer.status, answer.text.length < 500], [400, true], answer.text.slice(0, 500));
    const [usual, ms] = [await quickest(plain), await quickest(costly)];
    assert.ok(ms < usual * 10 + 100, `${ms} ms, and ${usual} ms for a plain one`);
  });

  it("bodies are not read beyond 64 KiB without a login", async () => {
    const keys = JSON.stringify({
      app: { name: "a", env_vars: Object.fromEntries(Array.from({ length: 90_000 }, (_, index) => [`K${index}`, "v"])) },
    });
    for (const login of ["", "Bearer nonsense"]) {
      const refused = await post(keys, login);
      assert.deepEqual([refused.status, /"unauthenticated"/.test(refused.text)], [401, true], refused.text);
    }
    const known = await post(keys);
    assert.deepEqual([known.status, /more than 10000 map entries/.test(known.text)], [400, true], known.text.slice(0, 300));
    const v2 = await fetch(`${server.url}/api/v2/apps/a`, { method: "POST", body: keys });
    assert.deepEqual([v2.status, await v2.text()], [401, "Unauthorized Access"]);
  });

  it("bodies keep no other large body out by the lengths that they announce", async () => {
    const sockets: Socket[] = [];
    try {
      for (let count = 0; count < 100; count++) {
        const socket = connect(server.httpPort, "127.0.0.1");
        sockets.push(socket);
        socket.on("error", () => {});
        await once(socket, "connect");
        socket.write(`POST ${CREATE} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 4000000\r\n\r\n{"app":`);
      }
      const large = JSON.stringify({ app: { name: "a", docker_image: "shop:1", labels: { a: "x".repeat(1_000_000) } } });
      const answer = await post(large);
      assert.equal(answer.status, 400, answer.text.slice(0, 300));
      assert.match(answer.text, /bytes encoded/);
      assert.ok(
        sockets.every(({ closed }) => !closed),
        "the others are still being sent",
      );
    } finally {
      for (const socket of sockets) socket.destroy();
    }
  });
});
