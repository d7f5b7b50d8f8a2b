import { strict as assert } from "node:assert";
import { TargetState } from "../gen/nebula/v1/report_pb.ts";
import { FOREVER, IMAGE } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";

/** Keeps what it reads in memory, and so goes beyond any limit. */
const GREEDY = ["tail", "/dev/zero"];
const LIMIT_MB = 8;

describe("a container that is killed for memory on a real engine", function () {
  this.timeout(120_000);
  const rig = FleetRig.describe();

  it("a container that is killed for memory is reported with its limit, and applied once it has enough; other apps are not affected", async () => {
    const [greedy, modest] = [rig.name("greedy"), rig.name("modest")];
    await rig.api.createApp({ name: greedy, dockerImage: IMAGE, command: GREEDY, memoryLimitMb: LIMIT_MB });
    await rig.api.createApp({ name: modest, dockerImage: IMAGE, command: FOREVER });
    const { worker, engine } = await rig.device([greedy, modest]);
    const status = await rig.api.appStatus(worker.deviceId, greedy, ({ reason }) => /out of memory/.test(reason), 60_000);
    assert.notEqual(status.state, TargetState.APPLIED);
    assert.match(status.reason, /its limit is 8 MB/);
    await rig.api.appStatus(worker.deviceId, modest, ({ state }) => state === TargetState.APPLIED);
    await rig.api.updateApp(greedy, { command: FOREVER });
    await engine.settled(greedy, 1);
    await rig.api.appStatus(worker.deviceId, greedy, ({ state, reason }) => state === TargetState.APPLIED && reason === "", 60_000);
  });
});
