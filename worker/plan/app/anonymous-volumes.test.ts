import { strict as assert } from "node:assert";
import fc from "fast-check";
import { type AppInit, configOf, perServer } from "../../../common/testing/config-builder.ts";
import type { Config } from "../../../gen/nebula/v1/config_pb.ts";
import { carriedVolumes } from "../../runtime/anonymous-volumes.ts";
import { Rig } from "../../testing/rig.ts";
import { Killed, World } from "../../testing/world.ts";

const behaviour = (image: string) => ({ volumes: image.includes("shop") ? ["/data"] : [] });

/** Ids of the volumes that the containers have, by container name. */
const volumesOf = (rig: Rig) =>
  Object.fromEntries(
    rig.containers.map(({ name, id }) => [
      name,
      rig.runtime.volumes
        .of(id)
        .map((volume) => volume.name)
        .join(),
    ]),
  );

describe("the anonymous volumes of an app", () => {
  it("anonymous volumes are those of the container before, slot by slot, through a change, a restart and a rolling change", async () => {
    await using rig = new Rig({ behaviour });
    const app = { containersPer: perServer(2) };
    await rig.start({ apps: { web: app } });
    const before = volumesOf(rig);
    const ids = rig.containers.map(({ id }) => id);
    assert.equal(new Set(Object.values(before)).size, 2);
    await rig.apply({ apps: { web: { ...app, revision: 2n, dockerImage: "shop:2" } } });
    assert.deepEqual(volumesOf(rig), before);
    await rig.apply({ apps: { web: { ...app, revision: 3n, dockerImage: "shop:2", restartCount: 1n } } });
    assert.deepEqual(volumesOf(rig), before);
    await rig.apply({ apps: { web: { ...app, revision: 4n, dockerImage: "shop:1", restartCount: 1n, rollingRestart: true } } });
    await rig.pass(60_000, 1000);
    assert.deepEqual(volumesOf(rig), before);
    assert.ok(rig.containers.every(({ id }) => !ids.includes(id)));
    assert.equal(rig.stateOf("web"), "applied");
    assert.deepEqual([...rig.runtime.volumes.names].sort(), Object.values(before).sort());
  });

  it("anonymous volumes are empty ones after each change where the app renews them; the setting alone re-creates nothing", async () => {
    await using rig = new Rig({ behaviour });
    await rig.start({ apps: { web: {} } });
    const { id } = rig.named("web-1");
    const before = volumesOf(rig);
    await rig.apply({ apps: { web: { revision: 2n, renewAnonymousVolumes: true } } });
    assert.equal(rig.named("web-1").id, id);
    await rig.apply({ apps: { web: { revision: 3n, renewAnonymousVolumes: true, envVars: { A: "1" } } } });
    assert.notEqual(volumesOf(rig)["web-1"], before["web-1"]);
    assert.deepEqual(rig.runtime.volumes.names.length, 1);
  });

  it("anonymous volumes survive a new container whose start is refused, and go with the last container of the slot", async () => {
    await using rig = new Rig({ behaviour: (image) => ({ ...behaviour(image), ...(image.includes("shop:2") && { startRefusal: "no" }) }) });
    await rig.start({ apps: { web: { containersPer: perServer(2) } } });
    const before = volumesOf(rig);
    await rig.apply({ apps: { web: { revision: 2n, containersPer: perServer(2), dockerImage: "shop:2" } } });
    await rig.pass(10 * 60_000, 1000);
    assert.match(rig.stateOf("web"), /^failed/);
    assert.equal(volumesOf(rig)["web-1"], before["web-1"]);
    await rig.apply({ apps: { web: { revision: 3n } } });
    assert.deepEqual(rig.runtime.volumes.names, [before["web-1"]], "that of the surplus container is removed");
    await rig.apply({ apps: { web: { revision: 4n, running: false } } });
    assert.deepEqual(rig.runtime.volumes.names, []);
  });

  it("a kill of the worker at any point leaves no anonymous volumes behind, and keeps their data", async () => {
    for (let callsLeft = 0; callsLeft <= 24; callsLeft++) {
      const world = new World({ behaviour });
      const web = (revision: bigint, app: Omit<AppInit, "revision">) => configOf({ apps: { web: { ...app, revision } } });
      const volumes = () => world.containers.flatMap(({ id }) => world.runtime.volumes.of(id).map(({ name }) => name));
      const through = async (config: Config) => {
        await world.apply(config);
        world.callsLeft = callsLeft;
        await world.converge().catch((error: unknown) => assert.ok(error instanceof Killed, String(error)));
        await world.restart({ keepsMemory: true });
        await world.converge();
        assert.deepEqual(volumes().sort(), [...world.runtime.volumes.names].sort(), `killed after ${callsLeft} calls`);
      };
      await through(web(1n, { containersPer: perServer(2) }));
      const before = volumes().sort();
      assert.equal(before.length, 2);
      await through(web(2n, { containersPer: perServer(2), dockerImage: "shop:2" }));
      assert.deepEqual(volumes().sort(), before);
      await through(web(3n, { containersPer: perServer(2), envVars: { A: "1" } }));
      assert.deepEqual(volumes().sort(), before);
      await through(web(4n, { envVars: { A: "1" } }));
      assert.equal(world.runtime.volumes.names.length, 1);
      await through(configOf({ groupRevision: 5n, tombstoneRevision: 5n, apps: { web: undefined } }));
      assert.deepEqual(world.runtime.volumes.names, [], `killed after ${callsLeft} calls`);
    }
  });

  it("anonymous volumes are handed over only for paths that both images declare and the spec does not mount, for any paths", () => {
    const path = fc.constantFrom("/a", "/a/", "/b", "/b//c", "/c");
    const plain = (text: string) => text.replaceAll("//", "/").replace(/\/$/, "");
    const paths = fc.uniqueArray(path);
    fc.assert(
      fc.property(paths, paths, paths, paths, paths, (mounted, before, now, binds, tmpfs) => {
        const old = { volumes: mounted.map((each, i) => ({ name: String(i), path: each })), declared: before };
        const spec = { volumes: binds.map((bind) => `data:${bind}:ro`), tmpfs: Object.fromEntries(tmpfs.map((each) => [each, ""])) };
        const has = (list: readonly string[], wanted: string) => list.some((each) => plain(each) === plain(wanted));
        const expected = old.volumes.filter((volume) => {
          const isMounted = has(binds, volume.path) || has(tmpfs, volume.path);
          return has(before, volume.path) && has(now, volume.path) && !isMounted;
        });
        assert.deepEqual(carriedVolumes(old, spec, now), expected);
      }),
    );
  });
});
