import { strict as assert } from "node:assert";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { eventually } from "./eventually.ts";
import { requireServer, requireStoppableServer, type ServerKind } from "./servers.ts";

/** The line with its version that each server prints at its start, in the images of this project and in the official ones. */
const VERSIONS: Readonly<Record<ServerKind, RegExp>> = {
  cassandra: /Cassandra version: 5\.0\.\d+/,
  redis: /Redis version=7\.\d+\.\d+/,
  kafka: /Kafka version: 3\.9\.1/,
};

describe("servers of the tests", () => {
  for (const [kind, version] of Object.entries(VERSIONS)) {
    if (!isKind(kind)) throw new Error(kind);
    it(`servers of the tests start a ${kind} of the version that the project is tested with, once for all suites`, async function () {
      const { container } = await requireStoppableServer(this, kind);
      await eventually(async () => assert.match(await container.printed(), version)); // Kafka prints it a moment after its port answers
      assert.equal((await requireStoppableServer(this, kind)).container, container);
    });
  }

  it("servers of the tests keep port and data when they are killed and started again", async function () {
    const { container } = await requireStoppableServer(this, "redis");
    await container.kill();
    await assert.rejects(ask(container.port, "PING"));
    await container.startAgain();
    assert.match(await eventually(() => ask(container.port, "PING")), /^\+PONG/);
  });

  it("servers of the tests answer nothing while they are paused, and all of it after", async function () {
    const { container } = await requireStoppableServer(this, "redis");
    await container.pause();
    let answered = false;
    const answer = ask(container.port, "PING").finally(() => {
      answered = true;
    });
    const stateOf = spawnSync("docker", ["ps", "--filter", `publish=${container.port}`, "--format", "{{.Status}}"], { encoding: "utf8" });
    assert.match(stateOf.stdout, /Paused/);
    assert.equal(answered, false);
    await container.unpause();
    assert.match(await answer, /^\+PONG/);
  });

  it("servers of the tests are those of the variable where it names one", async function () {
    const before = process.env.NEBULA_TEST_REDIS;
    process.env.NEBULA_TEST_REDIS = "redis.example.com:6379";
    try {
      assert.deepEqual(await requireServer(this, "redis"), { address: "redis.example.com:6379" });
    } finally {
      if (before === undefined) delete process.env.NEBULA_TEST_REDIS;
      else process.env.NEBULA_TEST_REDIS = before;
    }
  });

  it("servers of the tests are removed when the tests are killed", async function () {
    await requireStoppableServer(this, "redis"); // where no engine answers, this skips
    const folder = new URL(".", import.meta.url);
    const program = `
      import { freePort, onFreePorts } from ${JSON.stringify(new URL("free-port.ts", folder).href)};
      import { TestContainer } from ${JSON.stringify(new URL("test-container.ts", folder).href)};
      const start = async () => TestContainer.start({ image: "redis:7", port: await freePort(), insidePort: 6379 });
      const { port } = await onFreePorts(start);
      console.log(port);
      setInterval(() => {}, 1000);
    `;
    const tests = spawn(process.execPath, ["--input-type=module", "-e", program], {
      cwd: fileURLToPath(new URL("../..", folder)),
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [port] = await once(createInterface(tests.stdout), "line");
    const listed = () => spawnSync("docker", ["ps", "-aq", "--filter", `publish=${port}`], { encoding: "utf8" }).stdout.trim();
    assert.notEqual(listed(), "");
    tests.kill("SIGKILL");
    await eventually(() => listed() === "", { everyMs: 200 });
  });
});

function isKind(kind: string): kind is ServerKind {
  return kind in VERSIONS;
}

/** Sends a line to a Redis and answers the first line of its answer. */
async function ask(port: number, line: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  try {
    socket.setEncoding("utf8");
    socket.write(`${line}\r\n`);
    for await (const text of socket) return String(text);
    throw new Error("the connection ended without an answer");
  } finally {
    socket.destroy();
  }
}
