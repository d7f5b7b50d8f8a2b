import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer } from "node:http";
import { systemClock } from "../../../common/clock/system-clock.ts";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { silentLog } from "../../../common/log/log.ts";
import type { ContainerRuntime } from "../container-runtime.ts";
import { openDockerRuntime } from "./docker.ts";

const signal = new AbortController().signal;
const [bad, good] = ["b".repeat(64), "a".repeat(64)];
const LABELS = { orchestrator: "nebula" };

type Answer = Readonly<{ status: number; body: unknown }>;

/** A status for which the connection is cut instead of an answer. */
const CUT = 0;

/** An engine with two containers of ours that refuses calls as `refusals` say, by the end of their paths. */
function withEngine(refusals: Readonly<Record<string, number>>, act: (runtime: ContainerRuntime) => Promise<void>): () => Promise<void> {
  return async () => {
    const server = createServer((request, response) => {
      const { status, body } = answer(new URL(request.url ?? "", "http://engine").pathname);
      if (status === CUT) request.socket.destroy();
      else response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    });
    const answer = (path: string): Answer => {
      const refused = Object.entries(refusals).find(([end]) => path.endsWith(end));
      if (refused !== undefined) return { status: refused[1], body: { message: `refused with ${refused[1]}` } };
      if (path.endsWith("/containers/json")) return { status: 200, body: [bad, good].map((Id) => ({ Id, Names: [`/${Id}`], Labels: LABELS })) };
      if (path.endsWith(`/${good}/json`)) return { status: 200, body: { Id: good, Name: `/${good}`, Config: { Labels: LABELS } } };
      return { status: 200, body: {} };
    };
    await once(server.listen(0, "127.0.0.1"), "listening");
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    await using runtime = await openDockerRuntime({ url: `docker://127.0.0.1:${port}`, clock: systemClock, log: silentLog });
    try {
      await act(runtime);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  };
}

describe("refusals of the Docker Engine", () => {
  for (const status of [500, 503]) {
    it(
      `the status ${status} of one container's inspect leaves the list whole`,
      withEngine({ [`/${bad}/json`]: status }, async (runtime) => {
        const listed = await runtime.listContainers(signal);
        assert.deepEqual(
          listed.map(({ id, listedOnly }) => [id, listedOnly?.failure]),
          [
            [bad, `refused with ${status}`],
            [good, undefined],
          ],
        );
      }),
    );
  }

  it(
    "a connection that is cut at one container's inspect leaves the list whole: the engine answers a ping",
    withEngine({ [`/${bad}/json`]: CUT }, async (runtime) => {
      const listed = await runtime.listContainers(signal);
      assert.deepEqual(
        listed.map(({ id, listedOnly }) => [id, listedOnly?.failure !== undefined]),
        [
          [bad, true],
          [good, false],
        ],
      );
      await assert.rejects(runtime.inspectContainer(bad, signal), (error) => isNebulaError(error, "internal"));
    }),
  );

  it(
    "a connection that is cut at an inspect and at the ping is an engine that is away",
    withEngine({ [`/${bad}/json`]: CUT, "/_ping": CUT }, async (runtime) => {
      await assert.rejects(runtime.listContainers(signal), (error) => isNebulaError(error, "unavailable"));
    }),
  );

  it(
    "503 of one container's start is a refusal, not an engine that is away",
    withEngine({ "/start": 503 }, async (runtime) => {
      await assert.rejects(runtime.start(bad, signal), (error) => isNebulaError(error, "failed_precondition"));
    }),
  );

  it(
    "503 of the engine's info is an engine that is away",
    withEngine({ "/info": 503 }, async (runtime) => {
      await assert.rejects(runtime.info(signal), (error) => isNebulaError(error, "unavailable"));
    }),
  );
});
