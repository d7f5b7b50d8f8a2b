import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { eventually } from "../common/testing/eventually.ts";
import { PullPolicy } from "../gen/nebula/v1/container_pb.ts";
import { TargetState } from "../gen/nebula/v1/report_pb.ts";
import { Engine, FOREVER, IMAGE, newInstance } from "./harness/engine.ts";
import { EngineProxy } from "./harness/engine-proxy.ts";
import { FleetRig } from "./harness/fleet-rig.ts";
import { type InProcessOptions, startInProcess } from "./harness/in-process-worker.ts";
import { JumpingClock } from "./harness/jumping-clock.ts";

/** In place of a minute for each call: a start that hangs is given up sooner, and one on a busy machine is not. */
const CALL_LIMIT_MS = 8000;
const MINUTE_MS = 60_000;

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

  /** A worker of its own group whose waits end when the test says so. */
  async function device(apps: string[], options: Pick<InProcessOptions, "socket" | "callLimitMs">) {
    const [deviceGroup, instance, clock] = [rig.name("group"), newInstance(), new JumpingClock()];
    const [deviceId, engine] = [`device-${instance}`, new Engine(instance)];
    rig.defer(() => engine.clean());
    await rig.api.createGroup(deviceGroup, apps);
    rig.use(await startInProcess({ ...options, server: rig.server, clock, deviceGroup, deviceId, instance }));
    /** Waits for a state that may take waits of the worker's; answers it. */
    const status = async (app: string, state: TargetState) => {
      const isThere = async () => {
        clock.jump(MINUTE_MS);
        return (await rig.api.device(deviceId))?.report?.apps.some((shown) => shown.name === app && shown.state === state) ?? false;
      };
      await eventually(isThere, { timeoutMs: 60_000, everyMs: 500 });
      return await rig.api.appStatus(deviceId, app, (shown) => shown.state === state);
    };
    return { engine, deviceId, status };
  }

  it("a start that hangs on its log server holds only its own app, which has failed at the limit of a call and runs once it can", async () => {
    const { port, end } = await silentLogServer();
    const [first, bad, last] = [rig.name("first"), rig.name("bad"), rig.name("last")];
    const logging = { driver: "syslog", options: { "syslog-address": `tcp+tls://127.0.0.1:${port}` } };
    await rig.api.createApp({ ...plain, name: first });
    await rig.api.createApp({ ...plain, name: bad, logging });
    await rig.api.createApp({ ...plain, name: last });
    const { engine, deviceId, status } = await device([first, bad, last], { callLimitMs: CALL_LIMIT_MS });
    rig.defer(end);
    await engine.settled(first, 1);
    await engine.settled(last, 1);
    const hanging = await rig.api.appStatus(deviceId, bad, ({ step }) => step === "start");
    assert.equal(hanging.state, TargetState.WORKING);
    await rig.api.updateApp(last, { envVars: { CHANGED: "yes" } });
    await engine.settled(last, 1, ({ Config }) => Config.Env.includes("CHANGED=yes"));
    const [removed] = await engine.containers(first);
    await engine.docker.getContainer(removed?.Id ?? "").remove({ force: true });
    await engine.settled(first, 1, ({ Id }) => Id !== removed?.Id);
    const failed = await rig.api.appStatus(deviceId, bad, ({ state }) => state === TargetState.FAILED);
    assert.match(`${failed.step}: ${failed.reason}`, /^start: .*did not answer within 8000 ms/);
    const report = (await rig.api.device(deviceId))?.report;
    assert.deepEqual(
      report?.problems.map(({ code }) => code),
      [],
    );
    end();
    await rig.api.updateApp(bad, { logging: { driver: "json-file" } });
    await status(bad, TargetState.APPLIED);
    await engine.settled(bad, 1);
  });

  // One that hangs takes longer: in the short run the simulated engine stands for it (worker/reconcile/one-container.test.ts).
  for (const kind of process.env.NEBULA_TEST_LONG === "1" ? (["refused", "hangs"] as const) : (["refused"] as const)) {
    it(`an inspect that ${kind === "hangs" ? "hangs" : "is refused"} leaves its container as it is, and nothing else`, async () => {
      const [bad, other] = [rig.name("bad"), rig.name("other")];
      for (const name of [bad, other]) await rig.api.createApp({ ...plain, name });
      const trouble = { id: "" };
      const answer = kind === "hangs" ? kind : { status: 500, body: JSON.stringify({ message: "layer does not exist" }) };
      const isBad = (path: string) => trouble.id !== "" && path.includes(`/containers/${trouble.id}/json`);
      const proxy = await EngineProxy.start((path) => (isBad(path) ? answer : undefined));
      rig.deferLast(() => proxy[Symbol.asyncDispose]());
      const { engine, status } = await device([bad, other], { socket: proxy.socket, callLimitMs: CALL_LIMIT_MS });
      const [before] = await engine.settled(bad, 1);
      await engine.settled(other, 1);
      trouble.id = before?.Id ?? "";
      await engine.docker.getContainer(trouble.id).restart({ t: 1 }); // what was known of it is not any more
      for (const name of [bad, other]) await rig.api.updateApp(name, { envVars: { CHANGED: "yes" } });
      const isChanged = ({ Config }: { Config: { Env: string[] } }) => Config.Env.includes("CHANGED=yes");
      await engine.settled(other, 1, isChanged);
      const failed = await status(bad, TargetState.FAILED);
      assert.equal(failed.step, "inspect");
      assert.match(failed.reason, kind === "refused" ? /layer does not exist/ : /did not answer within/);
      await engine.settled(bad, 1, ({ Id }) => Id === trouble.id);
      trouble.id = "";
      await status(bad, TargetState.APPLIED);
      await engine.settled(bad, 1, isChanged);
    });
  }
});
