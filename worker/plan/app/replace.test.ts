import { strict as assert } from "node:assert";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { bareSpec } from "../../../common/testing/bare-spec.ts";
import { perServer } from "../../../common/testing/config-builder.ts";
import { PullPolicy } from "../../../gen/nebula/v1/container_pb.ts";
import type { ImageBehaviour } from "../../runtime/simulated/behaviour.ts";
import { Rig } from "../../testing/rig.ts";

const MINUTE = 60_000;
const signal = new AbortController().signal;

function behaviour(image: string): Partial<ImageBehaviour> {
  return image.includes("refused") ? { startRefusal: "no such device" } : {};
}

async function foreign(rig: Rig, name: string, port?: number): Promise<string> {
  const ports = port === undefined ? [] : [{ hostPort: port, containerPort: 1, protocol: "tcp" as const }];
  const id = await rig.runtime.create({ name, spec: { ...bareSpec("shop:1"), ports }, labels: {} }, signal);
  await rig.runtime.start(id, signal);
  return id;
}

describe("a replacement", () => {
  it("a replacement whose create fails touches nothing", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    const before = rig.named("web-1").id;
    rig.runtime.before = (call) => {
      rig.calls.push(call);
      if (call.method === "create") throw new NebulaError("invalid_argument", "invalid mount config");
    };
    await rig.apply({ apps: { web: { revision: 2n, volumes: ["/x:/y"] }, other: {} } });
    assert.equal(rig.named("web-1").id, before);
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.equal(rig.stateOf("web"), "failed: create: invalid mount config");
    assert.deepEqual(rig.methods("stop"), []);
  });

  it("a replacement whose start is refused puts the old container back, and is retried after 1, 2, 4 ... 60 minutes", async () => {
    await using rig = new Rig({ behaviour, images: ["shop:1", "refused:1"] });
    await rig.start({ apps: { web: {} } });
    const before = rig.named("web-1").id;
    await rig.apply({ apps: { web: { revision: 2n, dockerImage: "refused:1" } } });
    const outages: number[] = [];
    const started = rig.clock.monotonic();
    for (let minute = 0; minute < 10 * 60; minute++) {
      if (rig.methods("stop").length > 0) outages.push(Math.round((rig.clock.monotonic() - started) / MINUTE));
      rig.calls.length = 0;
      assert.deepEqual(rig.shown, ["web-1 running"]);
      assert.equal(rig.named("web-1").id, before);
      assert.match(rig.stateOf("web"), /^failed: start: no such device/);
      await rig.pass(MINUTE);
    }
    assert.deepEqual(outages, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363, 423, 483, 543]);
  });

  it("a replacement whose start was refused is tried at once with a newer spec", async () => {
    await using rig = new Rig({ behaviour, images: ["shop:1", "shop:2", "refused:1"] });
    await rig.start({ apps: { web: {} } });
    await rig.apply({ apps: { web: { revision: 2n, dockerImage: "refused:1" } } });
    await rig.apply({ apps: { web: { revision: 3n, dockerImage: "shop:2" } } });
    assert.match(rig.named("web-1").image, /shop:2/);
    assert.equal(rig.stateOf("web"), "applied");
  });

  it("a replacement that needs a port of a foreign container fails before anything is stopped, until that is gone", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    const holder = await foreign(rig, "theirs", 8080);
    rig.calls.length = 0;
    await rig.apply({ apps: { web: { revision: 2n, startingPorts: [{ hostPort: 8080, containerPort: 80 }] } } });
    assert.match(rig.stateOf("web"), /^failed: ports: host port 8080\/tcp is published by container theirs, which this worker does not own/);
    assert.deepEqual(rig.methods("stop", "rename", "remove"), []);
    await rig.runtime.remove(holder, { force: true }, signal);
    await rig.settle();
    assert.equal(rig.stateOf("web"), "applied");
    assert.deepEqual(
      rig.named("web-1").hostPorts.map(({ hostPort }) => hostPort),
      [8080],
    );
  });

  it("a replacement refused because of a port is retried as soon as the container that took the port is gone", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    let holder: string | undefined;
    let isArmed = true;
    rig.runtime.before = async (call) => {
      // Somebody takes the port after the plan looked, and before the start.
      if (call.method === "start" && isArmed) {
        isArmed = false;
        holder = await foreign(rig, "theirs", 8080);
      }
    };
    await rig.apply({ apps: { web: { revision: 2n, startingPorts: [{ hostPort: 8080, containerPort: 80 }] } } });
    assert.deepEqual(rig.shown, ["theirs running", "web-1 running"]);
    assert.match(rig.stateOf("web"), /^failed: (start|ports)/);
    await rig.runtime.remove(holder ?? "", { force: true }, signal);
    await rig.settle();
    assert.equal(rig.stateOf("web"), "applied");
  });

  it("a replacement waits for a port of ours that another app gives up", async () => {
    await using rig = new Rig();
    const port = (hostPort: number) => [{ hostPort, containerPort: 80 }];
    await rig.start({ apps: { a: { startingPorts: port(80) }, b: { startingPorts: port(81) } } });
    await rig.apply({ apps: { a: { revision: 2n, startingPorts: port(81) }, b: { revision: 2n, startingPorts: port(80) } } });
    assert.deepEqual(rig.shown, ["a-1 running", "b-1 running"]);
    assert.equal(rig.named("a-1").hostPorts[0]?.hostPort, 81);
    assert.equal(rig.named("b-1").hostPorts[0]?.hostPort, 80);
  });

  it("a replacement stops nothing for a port that a container of ours keeps", async () => {
    await using rig = new Rig();
    const port = (hostPort: number) => [{ hostPort, containerPort: 80 }];
    await rig.start({ apps: { a: { startingPorts: port(80) }, b: { startingPorts: port(81) } } });
    rig.calls.length = 0;
    // b gives 81 up only once its image can be pulled.
    const b = { revision: 2n, dockerImage: "shop:9", pullPolicy: PullPolicy.NEVER, startingPorts: port(82) };
    await rig.apply({ apps: { a: { revision: 2n, startingPorts: port(81) }, b } });
    assert.deepEqual(rig.methods("stop"), []);
    assert.equal(rig.named("a-1").hostPorts[0]?.hostPort, 80);
    assert.match(rig.stateOf("b"), /^failed: image/);
  });

  it("a host port that two apps claim goes to the first in the group's order, also if a later one holds it", async () => {
    await using rig = new Rig();
    const startingPorts = [{ hostPort: 80, containerPort: 80 }];
    await rig.start({ apps: { b: { startingPorts } } });
    await rig.apply({ groupRevision: 2n, apps: { a: { startingPorts }, b: { startingPorts }, c: {} } });
    assert.deepEqual(rig.shown, ["a-1 running", "c-1 running"]);
    assert.match(rig.stateOf("b"), /^failed: claim: host port 80\/tcp is claimed by container 1 of app a already/);
  });

  it("a replacement renames swapped containers back", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: { containersPer: perServer(2) } } });
    const [one, two] = [rig.named("web-1").id, rig.named("web-2").id];
    await rig.kill();
    await rig.runtime.rename(one, "tmp", signal);
    await rig.runtime.rename(two, "web-1", signal);
    await rig.runtime.rename(one, "web-2", signal);
    await rig.start({ apps: { web: { containersPer: perServer(2) } } });
    assert.equal(rig.named("web-1").id, one);
    assert.equal(rig.named("web-2").id, two);
    assert.deepEqual(rig.methods("restart", "remove"), []);
  });

  it("a replacement leaves a foreign container's name alone, and says so", async () => {
    await using rig = new Rig();
    const theirs = await foreign(rig, "web-1");
    await rig.start({ apps: { web: {}, db: {} } });
    assert.equal(rig.named("web-1").id, theirs);
    assert.match(rig.stateOf("web"), /^failed: name: the name web-1 is taken/);
    assert.equal(rig.stateOf("db"), "applied");
  });

  it("a replacement never touches the container that the worker runs in, and fails an app that has its name", async () => {
    await using rig = new Rig();
    const self = await foreign(rig, "nebula-worker-1");
    rig.runtime.presentAs({ ownContainerId: self });
    await rig.start({ apps: { "nebula-worker": {}, db: {} } });
    assert.match(rig.stateOf("nebula-worker"), /^failed: name: nebula-worker-1/);
    assert.equal(rig.named("nebula-worker-1").id, self);
    assert.equal(rig.stateOf("db"), "applied");
  });

  it("a replacement makes another container at the next try where a start was refused and there is no old container", async () => {
    await using rig = new Rig();
    rig.runtime.occupiedPorts.add(80);
    await rig.start({ apps: { web: { startingPorts: [{ hostPort: 80, containerPort: 80 }] } } });
    assert.match(rig.stateOf("web"), /^failed: start: .*80.*already allocated/);
    const refused = rig.named("web-1").id;
    rig.runtime.occupiedPorts.delete(80);
    await rig.pass(6000);
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.notEqual(rig.named("web-1").id, refused);
    assert.deepEqual(
      rig.methods("create", "start", "remove").map(({ method }) => method),
      ["create", "start", "remove", "create", "start"],
    );
    assert.equal(rig.stateOf("web"), "applied");
  });

  it("a replacement waits for a network that does not exist, and connects the container once it does", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: { networks: ["nebula", "extra"] } } });
    assert.match(rig.stateOf("web"), /^failed: network: network extra does not exist/);
    await rig.runtime.createNetwork("extra", {}, signal);
    await rig.pass(5 * MINUTE);
    assert.equal(rig.stateOf("web"), "applied");
    assert.deepEqual([...rig.named("web-1").networks].sort(), ["extra", "nebula"]);
  });

  it("a replacement makes the network nebula again, and puts containers back on it", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    rig.runtime.loseNetwork("nebula");
    await rig.settle();
    assert.deepEqual([...rig.named("web-1").networks].sort(), ["bridge", "nebula"]);
    assert.deepEqual(rig.methods("stop"), []);
  });
});
