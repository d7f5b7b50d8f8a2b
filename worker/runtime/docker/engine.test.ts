import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, request } from "node:http";
import { createServer as createTcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../../common/clock/system-clock.ts";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { silentLog } from "../../../common/log/log.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import { DOCKER_SOCKET, requireDocker } from "../../../common/testing/require-docker.ts";
import type { ContainerRuntime, RuntimeEvent } from "../container-runtime.ts";
import { listOf, recordOf, textOf } from "../json.ts";
import type { PullSign } from "../pull-progress.ts";
import { openDockerRuntime } from "./docker.ts";
import { openDockerFixture } from "./fixture.ts";

const signal = new AbortController().signal;
type Fixture = Awaited<ReturnType<typeof openDockerFixture>>;

describe("the Docker Engine as it is", function () {
  this.timeout(60_000);
  let fixture: Fixture | undefined;

  before(async function () {
    await requireDocker(this);
    fixture = await openDockerFixture();
  });
  after(() => fixture?.[Symbol.asyncDispose]());

  function opened(): Fixture {
    assert.ok(fixture);
    return fixture;
  }

  /** A container with the labels of ours. */
  function create(fields: Partial<Fixture["specs"]["sleeps"]> = {}): Promise<string> {
    const { runtime, specs, label } = opened();
    const name = `engine-${Math.random().toString(16).slice(2)}`;
    return runtime.create({ name, spec: { ...specs.sleeps, ...fields }, labels: { orchestrator: "nebula", ...label } }, signal);
  }

  async function inspect(id: string): Promise<Readonly<Record<string, unknown>>> {
    return recordOf(await opened().engine.call({ what: "inspect", method: "GET", path: `/containers/${id}/json` }, signal));
  }

  it("a Docker Engine limits the logs of a container without a setting of logs", async () => {
    const host = recordOf((await inspect(await create())).HostConfig);
    assert.deepEqual(host.LogConfig, { Type: "json-file", Config: { "max-size": "10m", "max-file": "3" } });
  });

  it("a Docker Engine shows people the name of the image that they know", async () => {
    assert.equal(recordOf((await inspect(await create())).Config).Image, "busybox:1");
  });

  it("a Docker Engine removes a container's anonymous volumes with it", async () => {
    const { engine, runtime, label } = opened();
    const body = { Image: "busybox:1", Volumes: { "/data": {} }, Labels: label };
    const made = recordOf(await engine.call({ what: "create", method: "POST", path: "/containers/create", body }, signal));
    const [mount] = listOf((await inspect(textOf(made.Id))).Mounts);
    const path = `/volumes/${textOf(recordOf(mount).Name)}`;
    const read = () => engine.call({ what: "inspect volume", method: "GET", path, fineStatus: 404 }, signal);
    assert.notEqual(await read(), undefined);
    await runtime.remove(textOf(made.Id), { force: true }, signal);
    assert.equal(await read(), undefined);
  });

  it("a Docker Engine removes an image with all of its names", async () => {
    const { engine, runtime } = opened();
    const container = await create();
    const repo = `nebula-contract-${Math.random().toString(16).slice(2)}`;
    const committed = { what: "commit", method: "POST", path: "/commit", query: { container, repo, tag: "1", comment: repo } } as const;
    const image = textOf(recordOf(await engine.call(committed, signal)).Id);
    await engine.call({ what: "tag", method: "POST", path: `/images/${repo}:1/tag`, query: { repo, tag: "2" } }, signal);
    assert.equal((await runtime.inspectImage(`docker.io/library/${repo}:2`, signal))?.references.length, 2);
    await runtime.removeImage(image, signal);
    assert.equal(await runtime.inspectImage(image, signal), undefined);
  });

  it("a Docker Engine measures memory and CPU", async () => {
    const id = await create({ command: ["sh", "-c", "while :; do :; done"], cpus: 0.2 });
    await opened().runtime.start(id, signal);
    for (const stats of [await opened().runtime.stats(id, signal), await opened().runtime.stats(id, signal)]) {
      assert.ok(stats.memoryBytes > 0, JSON.stringify(stats));
      assert.ok(stats.cpuPercent < 150, JSON.stringify(stats));
    }
    await opened().runtime.remove(id, { force: true }, signal);
  });

  it("errors of a Docker Engine keep values of env out", async () => {
    await assert.rejects(create({ env: { "": "secret-value" } }), (error) => isNebulaError(error) && !error.message.includes("secret-value"));
  });

  it("a pull from a registry that never answers ends when it is not wanted any more", async () => {
    const sockets = new Set<Socket>();
    const silent = createTcpServer((socket) => sockets.add(socket.on("error", () => {})));
    await once(silent.listen(0, "127.0.0.1"), "listening");
    const address = silent.address();
    assert.ok(typeof address === "object" && address !== null);
    const stop = new AbortController();
    const onLine = ({ isProgress }: PullSign) => assert.ok(!isProgress, "progress was reported");
    const pull = opened().runtime.pull(`127.0.0.1:${address.port}/nebula/hangs:1`, { login: undefined, onLine, signal: stop.signal });
    await eventually(() => sockets.size > 0);
    stop.abort();
    await assert.rejects(pull, (error) => isNebulaError(error, "cancelled"));
    for (const socket of sockets) socket.destroy();
    silent.close();
  });

  describe("behind a connection that is watched", () => {
    let folder = "";
    let paths: string[] = [];
    let runtime: ContainerRuntime | undefined;
    let proxy = createServer();

    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), "nebula-docker-"));
      paths = [];
      proxy = createServer((incoming, outgoing) => {
        paths.push(`${incoming.method} ${incoming.url}`);
        const { method = "GET", url: path = "/", headers } = incoming;
        const forward = request({ socketPath: DOCKER_SOCKET, method, path, headers }, (answer) => {
          outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
          outgoing.flushHeaders();
          answer.on("error", () => {}).pipe(outgoing);
        });
        outgoing.on("close", () => forward.destroy());
        incoming.pipe(forward.on("error", () => outgoing.destroy()));
      });
      await once(proxy.listen(join(folder, "docker.sock")), "listening");
      runtime = await openDockerRuntime({ url: `docker://${folder}/docker.sock`, clock: systemClock, log: silentLog });
    });
    afterEach(async () => {
      await runtime?.[Symbol.asyncDispose]();
      proxy.closeAllConnections();
      proxy.close();
      await rm(folder, { recursive: true });
    });

    function watched(): ContainerRuntime {
      assert.ok(runtime);
      return runtime;
    }

    it("a list behind a watched connection takes one call while nothing changes, and never shows an outdated state", async () => {
      const id = await create();
      await opened().runtime.start(id, signal);
      const done = new AbortController();
      const reading = readEvents(watched(), done.signal);
      await eventually(() => paths.some((path) => path.startsWith("GET /events")));
      const find = async () => (await watched().listContainers(signal)).find((container) => container.id === id);
      const first = await find();
      assert.ok(first);
      await eventually(async () => {
        paths = [];
        assert.deepEqual(await find(), first);
        assert.deepEqual(
          paths.filter((path) => path.includes(id)),
          [],
        );
        assert.equal(paths.filter((path) => path.includes("/containers/json")).length, 1);
      });

      // nothing of a restart shows in a list, but for the event
      await opened().runtime.restart(id, 0, signal);
      await eventually(async () => assert.notEqual((await find())?.startedAt, first.startedAt));
      // a call of its own does not wait for the event
      const before = await find();
      await watched().restart(id, 0, signal);
      assert.notEqual((await find())?.startedAt, before?.startedAt);
      await watched().remove(id, { force: true }, signal);
      assert.equal(await find(), undefined);
      done.abort();
      await reading;
    });

    it("a Docker Engine by TCP serves as well, independent of DOCKER_HOST", async () => {
      const port = await opened().freePort();
      const { DOCKER_HOST } = process.env;
      process.env.DOCKER_HOST = "tcp://192.0.2.1:1";
      try {
        proxy.close();
        await once(proxy.listen(port, "127.0.0.1"), "listening");
        await using byTcp = await openDockerRuntime({ url: `docker://127.0.0.1:${port}`, clock: systemClock, log: silentLog });
        assert.notEqual((await byTcp.info(signal)).engineVersion, "");
        await using bySocket = await openDockerRuntime({ url: `docker://${DOCKER_SOCKET}`, clock: systemClock, log: silentLog });
        assert.notEqual((await bySocket.info(signal)).engineVersion, "");
      } finally {
        if (DOCKER_HOST === undefined) delete process.env.DOCKER_HOST;
        else process.env.DOCKER_HOST = DOCKER_HOST;
      }
    });

    it("a Docker Engine that is unreachable is reported, and found again", async () => {
      const events = readEvents(watched(), signal);
      await eventually(() => paths.some((path) => path.startsWith("GET /events")));
      await watched().listContainers(signal);
      proxy.closeAllConnections();
      proxy.close();
      await assert.rejects(events, (error) => isNebulaError(error, "unavailable"));
      await rm(join(folder, "docker.sock"), { force: true });
      await assert.rejects(watched().listContainers(signal), (error) => isNebulaError(error, "unavailable") && error.message.includes(folder));
      await once(proxy.listen(join(folder, "docker.sock")), "listening");
      assert.ok(Array.isArray(await watched().listContainers(signal)));
    });
  });

  it("an address that is not one of an engine is refused", async () => {
    for (const url of ["docker:", "docker://", "http://localhost", "/var/run/docker.sock", ""]) {
      await assert.rejects(openDockerRuntime({ url, clock: systemClock, log: silentLog }), (error) => isNebulaError(error, "invalid_argument"));
    }
  });
});

async function readEvents(runtime: ContainerRuntime, until: AbortSignal): Promise<readonly RuntimeEvent[]> {
  const seen: RuntimeEvent[] = [];
  for await (const event of runtime.events(until)) seen.push(event);
  return seen;
}
