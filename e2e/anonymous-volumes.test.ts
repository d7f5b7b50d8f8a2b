import { strict as assert } from "node:assert";
import { eventually } from "../common/testing/eventually.ts";
import { PullPolicy } from "../gen/nebula/v1/container_pb.ts";
import { FOREVER } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";

const IMAGE = "nebula-e2e-volume:1";
const NEWER = "nebula-e2e-volume:2";

describe("anonymous volumes on a real engine", function () {
  this.timeout(120_000);
  const rig = FleetRig.describe();

  it("anonymous volumes keep their data through a change and a new image, are renewed on demand, and are removed with the app", async () => {
    const web = rig.name("web");
    const { engine, group } = await rig.device([]);
    for (const [tag, extra] of [
      [IMAGE, "VOLUME /data"],
      [NEWER, "VOLUME /data\nENV NEWER=1"],
    ] as const) {
      await engine.build(tag, extra);
      rig.deferLast(() => engine.docker.getImage(tag).remove({ force: true }));
    }
    await rig.api.createApp({ name: web, dockerImage: IMAGE, pullPolicy: PullPolicy.NEVER, command: FOREVER });
    await rig.api.updateGroup(group, [web]);
    let [container] = await engine.settled(web, 1);
    const volume = () => container?.Mounts.find(({ Destination }) => Destination === "/data")?.Name ?? "";
    const first = volume();
    assert.match(first, /^[0-9a-f]{64}$/);
    const has = async (file: string) => (await engine.exec(container?.Id ?? "", ["test", "-e", `/data/${file}`])) === 0;
    assert.equal(await engine.exec(container?.Id ?? "", ["touch", "/data/kept"]), 0);
    const replaced = async (holds: (info: NonNullable<typeof container>) => boolean) => {
      const before = container?.Id;
      [container] = await engine.settled(web, 1, (info) => info.Id !== before && holds(info));
    };

    await rig.api.updateApp(web, { envVars: { VERSION: "2" } });
    await replaced(({ Config }) => Config.Env.includes("VERSION=2"));
    assert.equal(volume(), first);
    assert.equal(await has("kept"), true);
    await rig.api.updateApp(web, { dockerImage: NEWER });
    await replaced(({ Config }) => Config.Env.includes("NEWER=1"));
    assert.equal(volume(), first);
    assert.equal(await has("kept"), true);
    assert.deepEqual(container?.HostConfig.Binds ?? [], []);

    await rig.api.updateApp(web, { renewAnonymousVolumes: true, envVars: { VERSION: "3" } });
    await replaced(({ Config }) => Config.Env.includes("VERSION=3"));
    assert.equal(await has("kept"), false);
    const gone = (name: string) =>
      engine.docker
        .getVolume(name)
        .inspect()
        .then(
          () => false,
          () => true,
        );
    await eventually(() => gone(first), { timeoutMs: 20_000 });
    const second = volume();
    await rig.api.updateApp(web, { renewAnonymousVolumes: false, envVars: { VERSION: "4" } });
    await replaced(({ Config }) => Config.Env.includes("VERSION=4"));
    assert.equal(volume(), second);
    await rig.api.updateGroup(group, []);
    await eventually(() => gone(second), { timeoutMs: 30_000 });
  });
});
