import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer } from "node:net";
import Docker from "dockerode";
import { freePort, onFreePorts } from "./free-port.ts";
import { DOCKER_SOCKET, requireDocker } from "./require-docker.ts";
import { TestContainer } from "./test-container.ts";

describe("a container of the tests", function () {
  this.timeout(60_000);
  before("find Docker", function () {
    return requireDocker(this);
  });

  it("a container of the tests starts on another port where its own was taken meanwhile, and leaves nothing of the first attempt", async () => {
    const failures: unknown[] = [];
    const tried: number[] = [];
    await using others = new AsyncDisposableStack();
    const start = async () => {
      const port = await freePort();
      if (tried.push(port) === 1) {
        const other = createServer();
        await once(other.listen(port, "0.0.0.0"), "listening");
        others.defer(() => void other.close());
      }
      return TestContainer.start({ image: "redis:7", port, insidePort: 6379 }).catch((error) => {
        failures.push(error.cause.message);
        throw error;
      });
    };
    await using container = await onFreePorts(start);
    assert.equal(tried.length, 2);
    assert.equal(container.port, tried[1]);
    assert.equal(failures.length, 1);
    assert.match(String(failures[0]), /address already in use|port is already allocated/);
    const docker = new Docker({ socketPath: DOCKER_SOCKET });
    const bindings = async (id: string) => (await docker.getContainer(id).inspect()).HostConfig.PortBindings;
    const listed = await docker.listContainers({ all: true });
    const found = await Promise.all(listed.map(async ({ Id }) => JSON.stringify(await bindings(Id).catch(() => ({})))));
    const countOf = (port: number | undefined) => found.filter((text) => text.includes(`"HostPort":"${port}"`)).length;
    assert.deepEqual(tried.map(countOf), [0, 1]);
  });
});
