import { strict as assert } from "node:assert";
import { eventually } from "../common/testing/eventually.ts";
import { TargetState } from "../gen/nebula/v1/report_pb.ts";
import { FOREVER, IMAGE } from "./harness/engine.ts";
import { EngineProxy } from "./harness/engine-proxy.ts";
import { FleetRig } from "./harness/fleet-rig.ts";

describe("an engine whose events a proxy refuses", function () {
  this.timeout(150_000);
  const rig = FleetRig.describe();

  it("is reported, follows changes at once and drift within 30 s, and is not asked for events without end", async () => {
    const refused: number[] = []; // when each request for events came, monotonic milliseconds
    const forbidden = { status: 403, body: "<html><body><h1>403 Forbidden</h1></body></html>" };
    const isEvents = (path: string) => /^(\/v[\d.]+)?\/events(\?|$)/.test(path);
    const proxy = await EngineProxy.start((path) => {
      if (!isEvents(path)) return undefined;
      refused.push(performance.now());
      return forbidden;
    });
    rig.deferLast(() => proxy[Symbol.asyncDispose]());
    const web = rig.name("web");
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER, envVars: { VERSION: "1" } });
    const { worker, engine } = await rig.device([web], { socket: proxy.socket });
    await engine.settled(web, 1);
    const problems = async () => (await rig.api.device(worker.deviceId))?.report?.problems ?? [];
    await eventually(async () => (await problems()).some(({ code }) => code === "events_unavailable"), { timeoutMs: 30_000, everyMs: 200 });
    const [problem] = await problems();
    assert.match(problem?.message ?? "", /events can't be read \(.*403.*\); the worker looks every 30 s instead/);

    const { revision } = await rig.api.updateApp(web, { envVars: { VERSION: "2" } });
    const [changed] = await engine.settled(web, 1, ({ Config }) => Config.Env.includes("VERSION=2"));
    assert.ok(changed);
    await rig.api.appStatus(worker.deviceId, web, (app) => app.state === TargetState.APPLIED && app.revision === revision);
    await engine.docker.getContainer(changed.Id).remove({ force: true });
    await engine.settled(web, 1, ({ Id }) => Id !== changed.Id, 45_000);

    // Three refusals, then waits of 1 s, 2 s, 4 s, ...: one more request each time that the whole time doubles.
    const seconds = (performance.now() - (refused[0] ?? 0)) / 1000;
    const most = 3 + Math.ceil(Math.log2(seconds + 1)) + 1;
    assert.ok(refused.length >= 4 && refused.length <= most, `${refused.length} requests for events in ${seconds} s, at most ${most} expected`);
  });
});
