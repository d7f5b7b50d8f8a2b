import { strict as assert } from "node:assert";
import { eventually } from "../common/testing/eventually.ts";
import { TargetState } from "../gen/nebula/v1/report_pb.ts";
import { Engine, FOREVER, IMAGE, newInstance } from "./harness/engine.ts";
import { EngineProxy } from "./harness/engine-proxy.ts";
import { FleetRig } from "./harness/fleet-rig.ts";
import { startInProcess } from "./harness/in-process-worker.ts";
import { JumpingClock } from "./harness/jumping-clock.ts";

describe("an engine whose events a proxy refuses", function () {
  this.timeout(150_000);
  const rig = FleetRig.describe();

  it("an engine whose events are refused is reported, follows changes at once and drift within 30 s, and is not asked for events without end", async () => {
    const clock = new JumpingClock();
    const refused: number[] = []; // when each request for events came, by the worker's clock
    const forbidden = { status: 403, body: "<html><body><h1>403 Forbidden</h1></body></html>" };
    const isEvents = (path: string) => /^(\/v[\d.]+)?\/events(\?|$)/.test(path);
    const proxy = await EngineProxy.start((path) => {
      if (!isEvents(path)) return undefined;
      refused.push(clock.monotonic());
      return forbidden;
    });
    rig.deferLast(() => proxy[Symbol.asyncDispose]());
    const web = rig.name("web");
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER, envVars: { VERSION: "1" } });
    const [deviceGroup, instance] = [rig.name("group"), newInstance()];
    const [deviceId, engine] = [`device-${instance}`, new Engine(instance)];
    rig.defer(() => engine.clean());
    await rig.api.createGroup(deviceGroup, [web]);
    rig.use(await startInProcess({ server: rig.server, clock, deviceGroup, deviceId, instance, socket: proxy.socket }));
    await engine.settled(web, 1);
    const problems = async () => (await rig.api.device(deviceId))?.report?.problems ?? [];
    await eventually(async () => (await problems()).some(({ code }) => code === "events_unavailable"), { timeoutMs: 30_000, everyMs: 200 });
    const [problem] = await problems();
    assert.match(problem?.message ?? "", /events can't be read \(.*403.*\); the worker looks every 30 s instead/);

    const { revision } = await rig.api.updateApp(web, { envVars: { VERSION: "2" } });
    const [changed] = await engine.settled(web, 1, ({ Config }) => Config.Env.includes("VERSION=2"));
    assert.ok(changed);
    await rig.api.appStatus(deviceId, web, (app) => app.state === TargetState.APPLIED && app.revision === revision);
    await engine.docker.getContainer(changed.Id).remove({ force: true });
    clock.jump(30_000);
    await engine.settled(web, 1, ({ Id }) => Id !== changed.Id, 10_000);

    // Three refusals, then waits of 1 s, 2 s, 4 s, ...: one more request each time that the whole time doubles.
    const seconds = (clock.monotonic() - (refused[0] ?? 0)) / 1000;
    const most = 3 + Math.ceil(Math.log2(seconds + 1)) + 1;
    assert.ok(refused.length >= 4 && refused.length <= most, `${refused.length} requests for events in ${seconds} s, at most ${most} expected`);
  });
});
