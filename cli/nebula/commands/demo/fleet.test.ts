import { strict as assert } from "node:assert";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type ServerHttp2Session } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../../../common/clock/system-clock.ts";
import { silentLog } from "../../../../common/log/log.ts";
import { eventually } from "../../../../common/testing/eventually.ts";
import type { ContainerRuntime } from "../../../../worker/runtime/container-runtime.ts";
import { openRuntime } from "../../../../worker/runtime/open-runtime.ts";
import { startFleet } from "./fleet.ts";

describe("the demo's fleet", () => {
  it("the demo's fleet leaves no worker running when one of them cannot start", async () => {
    const folder = await mkdtemp(join(tmpdir(), "nebula-demo-fleet-"));
    await using stack = new AsyncDisposableStack();
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    const runtime = stack.use(await openRuntime("simulated:", { clock: systemClock, log: silentLog }));
    const open = new Set<ServerHttp2Session>();
    let connected = 0;
    const server = createServer().on("session", (session) => {
      connected++;
      open.add(session);
      session.on("error", () => {}).on("close", () => open.delete(session));
    });
    stack.defer(() => {
      for (const session of open) session.destroy();
    });
    stack.defer(() => void server.close());
    await once(server.listen(0, "127.0.0.1"), "listening");
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    const login = { url: `grpc://127.0.0.1:${address.port}`, grpcAddress: "", password: "a password" };
    const start = (real: { instance: string; runtime: ContainerRuntime } | undefined) =>
      startFleet({ login, deviceGroup: "demo", simulated: 1, real, folder, log: silentLog });
    {
      await using _fleet = await start(undefined);
      await eventually(() => assert.equal(open.size, 1)); // a worker connects as soon as it has started
    }
    await eventually(() => assert.equal(open.size, 0));
    await assert.rejects(start({ instance: "not an instance", runtime }), /not an instance/);
    {
      await using _fleet = await start(undefined);
      await eventually(() => assert.ok(connected >= 2)); // a worker that was left over would have connected before this one
    }
    await eventually(() => assert.equal(open.size, 0));
  });
});
