import { strict as assert } from "node:assert";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../common/testing/eventually.ts";
import { throughout } from "../common/testing/throughout.ts";
import { PullPolicy } from "../gen/nebula/v1/container_pb.ts";
import { TargetState } from "../gen/nebula/v1/report_pb.ts";
import { FOREVER, IMAGE } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";

const COPY = "nebula-e2e-copied-labels:1";

describe("containers with copied labels on a real engine", function () {
  this.timeout(120_000);
  const rig = FleetRig.describe();

  it("a container made of a docker commit of a managed one is left alone, also when the app is removed", async () => {
    const web = rig.name("web");
    await rig.api.createApp({ name: web, dockerImage: IMAGE, pullPolicy: PullPolicy.MISSING, command: FOREVER });
    const { engine, worker, group } = await rig.device([web]);
    const [managed] = await engine.settled(web, 1);
    await engine.docker.getContainer(managed?.Id ?? "").commit({ repo: COPY.split(":")[0], tag: "1" });
    rig.deferLast(() => engine.docker.getImage(COPY).remove({ force: true }));
    const copy = await engine.docker.createContainer({ Image: COPY, Cmd: FOREVER, name: `copy-of-${managed?.Id.slice(0, 12)}` });
    rig.defer(() => copy.remove({ force: true }));
    await copy.start();
    const { Config, State } = await copy.inspect();
    assert.equal(Config.Labels["nebula.spec"], managed?.Config.Labels["nebula.spec"]);
    const untouched = async () => {
      const now = await copy.inspect();
      assert.deepEqual([now.State.Running, now.State.StartedAt, now.Name], [true, State.StartedAt, `/copy-of-${managed?.Id.slice(0, 12)}`]);
    };
    await rig.api.updateApp(web, { envVars: { VERSION: "2" } });
    await rig.api.appStatus(worker.deviceId, web, ({ state, appliedRevision }) => state === TargetState.APPLIED && appliedRevision === 2n);
    await untouched();
    await rig.api.updateGroup(group, []);
    await eventually(async () => (await engine.containers(web)).every(({ Id }) => Id === copy.id), { timeoutMs: 30_000 });
    await throughout(2000, untouched);
  });

  it("a container made by hand under the labels and the name of a managed one is replaced", async () => {
    const web = rig.name("web");
    await rig.api.createApp({ name: web, dockerImage: IMAGE, pullPolicy: PullPolicy.MISSING, command: FOREVER, envVars: { KEY: "value" } });
    const { engine, worker } = await rig.device([web]);
    const [managed] = await engine.settled(web, 1);
    assert.ok(managed);
    await worker.stop();
    await engine.docker.getContainer(managed.Id).remove({ force: true });
    const { Labels } = managed.Config;
    const forged = await engine.docker.createContainer({ Image: IMAGE, Cmd: FOREVER, name: managed.Name.slice(1), Labels });
    await forged.start();
    worker.startAgain();
    await engine.settled(web, 1, ({ Id, Config }) => Id !== forged.id && Config.Env.includes("KEY=value"));
    await rig.api.appStatus(worker.deviceId, web, ({ state }) => state === TargetState.APPLIED);
  });

  it("an upgrade from a worker that kept no ids of its own containers re-creates none", async () => {
    const [web, db] = [rig.name("web"), rig.name("db")];
    const app = { dockerImage: IMAGE, pullPolicy: PullPolicy.MISSING, command: FOREVER };
    await rig.api.createApp({
      ...app,
      name: web,
      containersPer: { per: { case: "server", value: 3 } },
      envVars: { A: "a=b", EMPTY: "" },
      volumes: ["/tmp:/mnt:ro"],
      devices: ["/dev/null"],
    });
    await rig.api.createApp({ ...app, name: db, networks: ["none"] });
    const { engine, worker } = await rig.device([web, db]);
    const before = [...(await engine.settled(web, 3)), ...(await engine.settled(db, 1))].map(({ Id, State }) => [Id, State.StartedAt]);
    await rig.api.appStatus(worker.deviceId, db, ({ state }) => state === TargetState.APPLIED);
    await worker.stop();
    const file = join(worker.dataDir, "memory.json");
    const kept = JSON.parse(readFileSync(file, "utf8"));
    assert.equal(kept.memory.adopted.length, 4);
    writeFileSync(file, JSON.stringify({ ...kept, memory: { ...kept.memory, adopted: [] } }));
    worker.startAgain();
    await worker.program.printed(/"step":"adopt"/);
    await throughout(3000, async () => {
      const now = [...(await engine.containers(web)), ...(await engine.containers(db))].map(({ Id, State }) => [Id, State.StartedAt]);
      assert.deepEqual(now, before);
    });
    await worker.stop();
    assert.equal(JSON.parse(readFileSync(file, "utf8")).memory.adopted.length, 4);
  });
});
