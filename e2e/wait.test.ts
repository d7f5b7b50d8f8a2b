import { strict as assert } from "node:assert";
import { eventually } from "../common/testing/eventually.ts";
import { Program } from "./harness/program.ts";
import { Server } from "./harness/server.ts";
import { SimulatedWorker } from "./harness/simulated-worker.ts";

const DEVICES = ["till-1", "till-2", "till-3", "till-4"];

describe("nebulactl --wait on a server of its own, with simulated devices", function () {
  this.timeout(180_000);
  let server: Server;
  const workers = new AsyncDisposableStack();
  Server.forSuite({}, async (started) => {
    server = started;
    await server.api.createApp({ name: "web", dockerImage: "shop:1" });
    await server.api.createGroup("shops", ["web"]);
    const env = { NEBULA_USER: "admin", NEBULA_PASSWORD: server.password, NEBULA_DEVICE_GROUP: "shops" };
    for (const deviceId of DEVICES) workers.use(new SimulatedWorker({ server: server.url, deviceId, env }));
    await eventually(async () => assert.equal((await status()).code, 0), { timeoutMs: 60_000, everyMs: 500 });
  });
  after(() => workers.disposeAsync());

  const nebulactl = (...args: string[]) =>
    new Program(args, {
      file: "cli/nebulactl.js",
      env: { NEBULA_SERVER: server.url, NEBULA_USER: "admin", NEBULA_PASSWORD: server.password, HOME: "/nonexistent" },
    });

  async function status(): Promise<Readonly<{ code: number | null; counts: Readonly<Record<string, number>> }>> {
    await using program = nebulactl("status", "web", "-o", "json");
    const code = await program.exit();
    return { code, counts: code === 1 ? {} : JSON.parse(program.output).counts };
  }

  it("a wait whose server is killed and started again in the middle has the right verdict, and so has status", async () => {
    await using waiting = nebulactl("apps", "update", "web", "--image", "shop:2", "--wait", "--settle", "3s", "--timeout", "120s");
    await waiting.printed(/web 1 -> 2/);
    await server.kill();
    await server.startAgain();
    assert.equal(await waiting.exit(), 0, waiting.output);
    assert.match(waiting.output, /^4 of 4 online devices run revision 2 or newer$/m);
    const { code, counts } = await status();
    assert.deepEqual([code, counts.applied, counts.online], [0, 4, 4]);
    for (const deviceId of DEVICES) await server.api.appStatus(deviceId, "web", ({ appliedRevision }) => appliedRevision === 2n, 1);
  });
});
