import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "../common/testing/eventually.ts";
import { TargetState } from "../gen/nebula/v1/report_pb.ts";
import { Engine, FOREVER, IMAGE, newInstance } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";
import { startInProcess } from "./harness/in-process-worker.ts";
import { JumpingClock } from "./harness/jumping-clock.ts";

const MINUTE_MS = 60_000;

describe("waits of a worker, by a clock of the test", function () {
  this.timeout(180_000);
  const rig = FleetRig.describe();

  it("a start that Docker keeps refusing takes the working container down once, and again only after 1, 2, 4 ... 60 minutes", async () => {
    // a port that a process of the host holds: only the start finds out
    const listener = createServer().listen(0, "0.0.0.0");
    await once(listener, "listening");
    rig.defer(() => void listener.close());
    const address = listener.address();
    const port = address !== null && typeof address === "object" ? address.port : 0;

    const [web, group, instance] = [rig.name("web"), rig.name("group"), newInstance()];
    const engine = new Engine(instance);
    rig.defer(() => engine.clean());
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER });
    await rig.api.createGroup(group, [web]);
    const clock = new JumpingClock();
    rig.use(await startInProcess({ server: rig.server, clock, deviceGroup: group, deviceId: `device-${instance}`, instance }));
    const [working] = await engine.settled(web, 1);

    const downs: string[] = [];
    const events = await engine.docker.getEvents({ filters: { type: ["container"], event: ["die"], label: [`nebula.instance=${instance}`] } });
    rig.defer(() => void (events as unknown as { destroy(): void }).destroy());
    events.on("data", (line: Buffer) => {
      if (JSON.parse(String(line)).Actor.ID === working?.Id) downs.push(String(line));
    });

    await rig.api.updateApp(web, { startingPorts: [{ hostPort: port, containerPort: 80 }] });
    const backAfter = async (times: number) => {
      await eventually(() => downs.length === times, { timeoutMs: 20_000 });
      await engine.settled(web, 1, ({ Id }) => Id === working?.Id);
      await rig.api.appStatus(`device-${instance}`, web, ({ state, tries }) => state === TargetState.FAILED && tries === times);
    };
    await backAfter(1);
    for (const [i, minutes] of [1, 2, 4, 8, 16, 32, 60, 60].entries()) {
      clock.jump(minutes * MINUTE_MS - 20_000);
      await delay(1500); // what must not happen can't be waited for
      assert.equal(downs.length, i + 1, `taken down again before ${minutes} min were over`);
      clock.jump(20_000);
      await backAfter(i + 2);
    }
    // a new spec is tried at once
    await rig.api.updateApp(web, { startingPorts: [], envVars: { VERSION: "2" } });
    await engine.settled(web, 1, ({ Config }) => Config.Env.includes("VERSION=2"));
  });

  it("two workers of one instance with different groups: the one that sees the other's new container does nothing for 5 minutes and reports second_worker", async () => {
    const instance = newInstance();
    const engine = new Engine(instance);
    rig.defer(() => engine.clean());
    const [first, second] = [rig.name("first"), rig.name("second")];
    const [firstGroup, secondGroup] = [rig.name("group"), rig.name("group")];
    for (const name of [first, second]) await rig.api.createApp({ name, dockerImage: IMAGE, command: FOREVER });
    await rig.api.createGroup(firstGroup, [first]);
    await rig.api.createGroup(secondGroup, [second]);
    const clock = new JumpingClock();
    const made = new Map<string, number[]>();
    const events = await engine.docker.getEvents({ filters: { type: ["container"], event: ["create"], label: [`nebula.instance=${instance}`] } });
    rig.defer(() => void (events as unknown as { destroy(): void }).destroy());
    events.on("data", (line: Buffer) => {
      const app: string = JSON.parse(String(line)).Actor.Attributes.app_name;
      made.set(app, [...(made.get(app) ?? []), clock.monotonic()]);
    });

    rig.use(await startInProcess({ server: rig.server, clock, deviceGroup: firstGroup, deviceId: `${instance}-1`, instance }));
    await engine.settled(first, 1);
    rig.use(await startInProcess({ server: rig.server, clock, deviceGroup: secondGroup, deviceId: `${instance}-2`, instance }));
    const problems = async () => {
      const devices = await Promise.all([1, 2].map((n) => rig.api.device(`${instance}-${n}`)));
      return devices.map((device) => (device?.report?.problems ?? []).map(({ code }) => code));
    };
    await eventually(async () => (await problems()).some((codes) => codes.includes("second_worker")), { timeoutMs: 30_000 });
    // the second one's start removed what the first one's group runs: that one saw the second's new container, and leaves everything as it is
    assert.deepEqual(
      (await problems()).map((codes) => codes.includes("second_worker")),
      [true, false],
    );
    await engine.settled(second, 1);
    await rig.api.updateApp(first, { envVars: { VERSION: "2" } });
    clock.jump(4.5 * MINUTE_MS);
    await delay(2000); // what must not happen can't be waited for
    assert.deepEqual(await engine.containers(first), []);
    clock.jump(0.5 * MINUTE_MS);
    await engine.settled(first, 1, ({ Config }) => Config.Env.includes("VERSION=2"));
    for (let minute = 0; minute < 12; minute++) {
      await delay(300);
      clock.jump(MINUTE_MS);
    }
    await delay(1000);
    for (const [app, times] of made) {
      for (const [i, at] of times.entries()) {
        const before = times[i - 1];
        if (before !== undefined)
          assert.ok(at - before >= 5 * MINUTE_MS - 1000, `${app} was made again after ${((at - before) / 1000).toFixed(0)} s`);
      }
    }
  });
});
