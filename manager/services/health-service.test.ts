import { strict as assert } from "node:assert";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { Health, HealthCheckResponse_ServingStatus as Serving } from "../../gen/grpc/health/v1/health_pb.ts";
import { startManagerRig } from "../testing/manager-rig.ts";

describe("grpc.health", () => {
  it("answers without a login: the manager, its services, and nothing else", async () => {
    await using rig = await startManagerRig();
    const channel = rig.channel();
    for (const service of ["", "nebula.v1.AppService", "nebula.v1.ConfigService"]) {
      assert.equal((await channel.unary(Health.method.check, { service })).status, Serving.SERVING);
    }
    await assert.rejects(channel.unary(Health.method.check, { service: "nope" }), (error) => isNebulaError(error, "not_found"));
    const { statuses } = await channel.unary(Health.method.list, {});
    assert.equal(statuses["nebula.v1.ReportService"]?.status, Serving.SERVING);
  });

  it("tells those who watch that the manager stops", async () => {
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
});
