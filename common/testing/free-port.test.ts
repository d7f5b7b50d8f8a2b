import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { endWithTests } from "./end-with-tests.ts";
import { freePort, onFreePorts } from "./free-port.ts";

const PROGRAM = `
  import { freePort } from ${JSON.stringify(new URL("free-port.ts", import.meta.url).href)};
  const ports = [];
  while (ports.length < 300) ports.push(await freePort());
  console.log(JSON.stringify(ports));
  process.stdin.resume(); // the ports are its own until it ends
`;

/** Starts a process that takes 300 ports and holds them until it is ended. */
async function takeElsewhere(): Promise<Readonly<{ ports: readonly number[]; end: () => Promise<unknown> }>> {
  const child = endWithTests(spawn(process.execPath, ["--input-type=module", "-e", PROGRAM], { stdio: ["pipe", "pipe", "inherit"] }));
  const [line] = await once(createInterface(child.stdout), "line");
  const ended = once(child, "exit");
  const end = () => {
    child.stdin.end();
    return ended;
  };
  return { ports: JSON.parse(line), end };
}

/** Listens on a port; on every address, of IPv6 too where the machine has it, without a host. */
async function listen(port: number, host?: string): Promise<AsyncDisposable> {
  const server = createServer();
  await once(server.listen(port, host), "listening");
  return {
    async [Symbol.asyncDispose]() {
      await once(server.close(), "close");
    },
  };
}

describe("a free port", function () {
  this.timeout(60_000);

  it("a free port is given to one caller alone, also where many processes ask at the same time", async () => {
    const takers = await Promise.all([takeElsewhere(), takeElsewhere(), takeElsewhere()]);
    const mine = await Promise.all(Array.from({ length: 300 }, () => freePort()));
    const all = [...mine, ...takers.flatMap(({ ports }) => ports)];
    await Promise.all(takers.map(({ end }) => end()));
    assert.equal(all.length, 1_200);
    assert.equal(new Set(all).size, 1_200); // by chance alone some 60 pairs of them are the same
    assert.ok(all.every((port) => port >= 20_000 && port < 32_000)); // outside the range of outgoing connections
  });

  it("a free port can be listened on with those that follow it, on every address", async () => {
    const first = await freePort(3);
    await using listening = new AsyncDisposableStack();
    for (const port of [first, first + 1, first + 2]) listening.use(await listen(port));
  });

  describe("that another program takes before the start", () => {
    /** Starts on ports of its own choice; the first `taken` of them are taken by another program in between. */
    const startAfter = async (taken: number) => {
      const tried: number[] = [];
      await using others = new AsyncDisposableStack();
      const start = async () => {
        const port = await freePort();
        if (tried.push(port) <= taken) others.use(await listen(port, "127.0.0.1"));
        await using _server = await listen(port, "127.0.0.1");
        return port;
      };
      const started = await onFreePorts(start).catch((error: unknown) => error);
      return { tried, started };
    };

    it("a port that another program takes before the start is replaced by another one", async () => {
      const { tried, started } = await startAfter(2);
      assert.equal(new Set(tried).size, 3);
      assert.equal(started, tried[2]);
    });

    it("a start that finds each port taken fails with that error, after five attempts", async () => {
      const { tried, started } = await startAfter(Number.POSITIVE_INFINITY);
      assert.equal(tried.length, 5);
      assert.match(String(started), /EADDRINUSE/);
    });

    it("a taken port is recognised in Docker's error, and no other failure starts a second time", async () => {
      const texts = [
        "driver failed programming external connectivity on endpoint x: Bind for 0.0.0.0:21000 failed: port is already allocated",
        "Error starting userland proxy: listen tcp4 0.0.0.0:21000: bind: address already in use",
        "no such image",
      ];
      const starts = await Promise.all(
        texts.map(async (text) => {
          let count = 0;
          const start = async () => {
            if (++count === 1) throw new Error("no server came up", { cause: new Error(text) });
          };
          await onFreePorts(start).catch(() => {});
          return count;
        }),
      );
      assert.deepEqual(starts, [2, 2, 1]);
    });
  });
});
