import { strict as assert } from "node:assert";
import { ManualClock } from "../../../common/clock/manual-clock.ts";
import type { Drivers } from "../../../common/drivers.ts";
import { isNebulaError, NebulaError } from "../../../common/errors/nebula-error.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import { Health, HealthCheckResponse_ServingStatus as Serving } from "../../../gen/grpc/health/v1/health_pb.ts";
import { startManagerRig } from "../../testing/manager-rig.ts";
import { plainStore } from "../../testing/plain-store.ts";
import { STORE_SERVICE } from "./health-service.ts";

describe("grpc.health", () => {
  it("grpc.health answers without a login: the manager, its services, and nothing else", async () => {
    await using rig = await startManagerRig();
    const channel = rig.channel();
    for (const service of ["", "nebula.v1.AppService", "nebula.v1.ConfigService"]) {
      assert.equal((await channel.unary(Health.method.check, { service })).status, Serving.SERVING);
    }
    await assert.rejects(channel.unary(Health.method.check, { service: "nope" }), (error) => isNebulaError(error, "not_found"));
    const { statuses } = await channel.unary(Health.method.list, {});
    assert.equal(statuses["nebula.v1.ReportService"]?.status, Serving.SERVING);
  });

  it("grpc.health notifies its watches that the manager stops", async () => {
    await using rig = await startManagerRig();
    const heard: Serving[] = [];
    const unknown: Serving[] = [];
    const watch = async (service: string, into: Serving[]) => {
      for await (const { status } of rig.channel().serverStream(Health.method.watch, { service })) into.push(status);
    };
    const ends = [watch("", heard), watch("nope", unknown)];
    await eventually(() => heard.length === 1 && unknown.length === 1);
    await rig.manager.stop();
    await Promise.all(ends);
    assert.deepEqual(heard, [Serving.SERVING, Serving.NOT_SERVING]);
    assert.equal(unknown[0], Serving.SERVICE_UNKNOWN);
  });

  it("grpc.health answers as nebula.store whether the store answers, to checks and watches, and all else is served without the store", async () => {
    const clock = new ManualClock();
    let isAway = false;
    const wrapDrivers = (drivers: Drivers): Drivers => ({
      ...drivers,
      configStore: {
        ...plainStore(drivers.configStore),
        readCluster: () => (isAway ? Promise.reject(new NebulaError("unavailable", "away")) : drivers.configStore.readCluster()),
      },
    });
    await using rig = await startManagerRig({ clock, wrapDrivers });
    const channel = rig.channel();
    const heard: Serving[] = [];
    const gone = new AbortController();
    const watching = (async () => {
      for await (const { status } of channel.serverStream(Health.method.watch, { service: STORE_SERVICE }, { signal: gone.signal }))
        heard.push(status);
    })().catch(() => {});
    await eventually(() => heard.at(-1) === Serving.SERVING);
    isAway = true;
    await clock.advance(5000);
    await eventually(() => heard.at(-1) === Serving.NOT_SERVING);
    assert.equal((await channel.unary(Health.method.check, { service: STORE_SERVICE })).status, Serving.NOT_SERVING);
    assert.equal((await channel.unary(Health.method.check, { service: "" })).status, Serving.SERVING);
    isAway = false;
    await clock.advance(5000);
    await eventually(() => heard.at(-1) === Serving.SERVING);
    gone.abort();
    await watching;
  });
});
