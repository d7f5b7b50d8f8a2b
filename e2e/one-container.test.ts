import { strict as assert } from "node:assert";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, request } from "node:http";
import { createServer as createTcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../common/testing/eventually.ts";
import { DOCKER_SOCKET } from "../common/testing/require-docker.ts";
import { PullPolicy } from "../gen/nebula/v1/container_pb.ts";
import { TargetState } from "../gen/nebula/v1/report_pb.ts";
import { FOREVER, IMAGE } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";

describe("a real engine that hangs or refuses something", function () {
  this.timeout(180_000);
  const rig = FleetRig.describe();
  const plain = { dockerImage: IMAGE, command: FOREVER, pullPolicy: PullPolicy.MISSING };

  /** A log server that takes connections and never says a word: the engine waits for it at the start of a container. */
  async function silentLogServer(): Promise<{ port: number; end: () => void }> {
    const sockets: Socket[] = [];
    const server = createTcpServer((socket) => sockets.push(socket.on("error", () => {})));
    await once(server.listen(0, "127.0.0.1"), "listening");
    const address = server.address();
    const end = () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    };
    return { port: typeof address === "object" && address !== null ? address.port : 0, end };
  }

  /** The engine behind a proxy. @param troubleOf what becomes of a request for a path: 500, no answer at all, or (undefined) what the engine answers */
  async function proxiedEngine(troubleOf: (path: string) => "refused" | "hangs" | undefined): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), "nebula-proxy-"));
    const proxy = createServer((incoming, outgoing) => {
      const { method = "GET", url: path = "/", headers } = incoming;
      const trouble = troubleOf(path);
      if (trouble !== undefined) {
        if (trouble === "refused") outgoing.writeHead(500).end(JSON.stringify({ message: "layer does not exist" }));
        return;
      }
      const forward = request({ socketPath: DOCKER_SOCKET, method, path, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
        outgoing.flushHeaders();
        answer.on("error", () => {}).pipe(outgoing);
      });
      outgoing.on("close", () => forward.destroy());
      incoming.pipe(forward.on("error", () => outgoing.destroy()));
    });
    await once(proxy.listen(join(folder, "docker.sock")), "listening");
    rig.deferLast(async () => {
      proxy.closeAllConnections();
      proxy.close();
      await rm(folder, { recursive: true });
    });
    return `docker://${folder}/docker.sock`;
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

  for (const kind of ["refused", "hangs"] as const) {
    it(`an inspect that ${kind === "hangs" ? "hangs" : "is refused"} leaves its container as it is, and nothing else`, async () => {
      const [bad, other] = [rig.name("bad"), rig.name("other")];
      for (const name of [bad, other]) await rig.api.createApp({ ...plain, name });
      const trouble = { id: "" };
      const troubleOf = (path: string) => (trouble.id !== "" && path.includes(`/containers/${trouble.id}/json`) ? kind : undefined);
      const { worker, engine } = await rig.device([bad, other], { env: { NEBULA_RUNTIME: await proxiedEngine(troubleOf) } });
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

  it("events that the engine refuses are reported, and what somebody removed is repaired within half a minute all the same", async () => {
    const web = rig.name("web");
    await rig.api.createApp({ ...plain, name: web });
    const requests: string[] = [];
    const troubleOf = (path: string) => {
      requests.push(path);
      return /\/events\b/.test(path) ? "refused" : undefined;
    };
    const { worker, engine } = await rig.device([web], { env: { NEBULA_RUNTIME: await proxiedEngine(troubleOf) } });
    const [before] = await engine.settled(web, 1);
    await eventually(async () => {
      const problems = (await rig.api.device(worker.deviceId))?.report?.problems.map(({ code }) => code) ?? [];
      assert.deepEqual(problems, ["events_unavailable"]);
    });
    await engine.docker.getContainer(before?.Id ?? "").remove({ force: true });
    await engine.settled(web, 1, ({ Id }) => Id !== before?.Id, 45_000);
    const streams = requests.filter((path) => /\/events\b/.test(path)).length;
    assert.ok(streams >= 3 && streams <= 12, `${streams} streams were asked for`);
  });
});
