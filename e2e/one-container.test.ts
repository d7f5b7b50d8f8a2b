import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { PullPolicy } from "../gen/nebula/v1/container_pb.ts";
import { TargetState } from "../gen/nebula/v1/report_pb.ts";
import { FOREVER, IMAGE } from "./harness/engine.ts";
import { EngineProxy } from "./harness/engine-proxy.ts";
import { FleetRig } from "./harness/fleet-rig.ts";

describe("a real engine that hangs or refuses something", function () {
  this.timeout(180_000);
  const rig = FleetRig.describe();
  const plain = { dockerImage: IMAGE, command: FOREVER, pullPolicy: PullPolicy.MISSING };

  /** A log server that takes connections and never says a word: the engine waits for it at the start of a container. */
  async function silentLogServer(): Promise<{ port: number; end: () => void }> {
    const sockets: Socket[] = [];
    const server = createServer((socket) => sockets.push(socket.on("error", () => {})));
    await once(server.listen(0, "127.0.0.1"), "listening");
    const address = server.address();
    const end = () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    };
    return { port: typeof address === "object" && address !== null ? address.port : 0, end };
  }

  it("a start that hangs on its log server holds only its own app, which has failed after a minute and runs once it can", async () => {
    const { port, end } = await silentLogServer();
    const [first, bad, last] = [rig.name("first"), rig.name("bad"), rig.name("last")];
    const logging = { driver: "syslog", options: { "syslog-address": `tcp+tls://127.0.0.1:${port}` } };
    await rig.api.createApp({ ...plain, name: first });
    await rig.api.createApp({ ...plain, name: bad, logging });
    await rig.api.createApp({ ...plain, name: last });
    const { worker, engine } = await rig.device([first, bad, last]);
    rig.defer(end);
    await engine.settled(first, 1);
    await engine.settled(last, 1);
    const hanging = await rig.api.appStatus(worker.deviceId, bad, ({ step }) => step === "start");
    assert.equal(hanging.state, TargetState.WORKING);
    await rig.api.updateApp(last, { envVars: { CHANGED: "yes" } });
    await engine.settled(last, 1, ({ Config }) => Config.Env.includes("CHANGED=yes"));
    const [removed] = await engine.containers(first);
    await engine.docker.getContainer(removed?.Id ?? "").remove({ force: true });
    await engine.settled(first, 1, ({ Id }) => Id !== removed?.Id);
    const failed = await rig.api.appStatus(worker.deviceId, bad, ({ state }) => state === TargetState.FAILED, 90_000);
    assert.match(`${failed.step}: ${failed.reason}`, /^start: .*did not answer within 60000 ms/);
    const report = (await rig.api.device(worker.deviceId))?.report;
    assert.deepEqual(
      report?.problems.map(({ code }) => code),
      [],
    );
    end();
    await rig.api.updateApp(bad, { logging: { driver: "json-file" } });
    await engine.settled(bad, 1, () => true, 60_000);
  });

  // One that hangs takes a minute and a half: in the short run the simulated engine stands for it (worker/one-container.test.ts).
  for (const kind of process.env.NEBULA_TEST_LONG === "1" ? (["refused", "hangs"] as const) : (["refused"] as const)) {
    it(`an inspect that ${kind === "hangs" ? "hangs" : "is refused"} leaves its container as it is, and nothing else`, async () => {
      const [bad, other] = [rig.name("bad"), rig.name("other")];
      for (const name of [bad, other]) await rig.api.createApp({ ...plain, name });
      const trouble = { id: "" };
      const answer = kind === "hangs" ? kind : { status: 500, body: JSON.stringify({ message: "layer does not exist" }) };
      const isBad = (path: string) => trouble.id !== "" && path.includes(`/containers/${trouble.id}/json`);
      const proxy = await EngineProxy.start((path) => (isBad(path) ? answer : undefined));
      rig.deferLast(() => proxy[Symbol.asyncDispose]());
      const { worker, engine } = await rig.device([bad, other], { env: { NEBULA_RUNTIME: `docker://${proxy.socket}` } });
      const [before] = await engine.settled(bad, 1);
      await engine.settled(other, 1);
      trouble.id = before?.Id ?? "";
      await engine.docker.getContainer(trouble.id).restart({ t: 1 }); // what was known of it is not any more
      for (const name of [bad, other]) await rig.api.updateApp(name, { envVars: { CHANGED: "yes" } });
      const isChanged = ({ Config }: { Config: { Env: string[] } }) => Config.Env.includes("CHANGED=yes");
      await engine.settled(other, 1, isChanged);
      const failed = await rig.api.appStatus(worker.deviceId, bad, ({ state }) => state === TargetState.FAILED, 90_000);
      assert.equal(failed.step, "inspect");
      assert.match(failed.reason, kind === "refused" ? /layer does not exist/ : /did not answer within/);
      await engine.settled(bad, 1, ({ Id }) => Id === trouble.id);
      trouble.id = "";
      await engine.settled(bad, 1, isChanged, 90_000);
    });
  }
});
