import { strict as assert } from "node:assert";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { ConfigService } from "../../gen/nebula/v1/config_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { ADMIN, startManagerRig } from "../testing/manager-rig.ts";
import { TestWatch } from "../testing/watch-rig.ts";

const headers = ADMIN;

describe("config service", () => {
  it("a group is not found before it was made and after it was deleted", async () => {
    await using rig = await startManagerRig();
    const channel = rig.channel();
    const get = () => channel.unary(ConfigService.method.getConfig, { deviceGroup: "g" }, { headers });
    await assert.rejects(get(), (error) => isNebulaError(error, "not_found"));
    await channel.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup: { name: "g" } }, { headers });
    assert.equal((await get()).config?.groupRevision, 1n);
    await channel.unary(DeviceGroupService.method.deleteDeviceGroup, { name: "g" }, { headers });
    await assert.rejects(get(), (error) => isNebulaError(error, "not_found"));
  });

  it("a config above 1 MiB is served with a warning in the answer and in the metrics", async () => {
    await using rig = await startManagerRig();
    const channel = rig.channel();
    const envVars = Object.fromEntries(Array.from({ length: 8 }, (_, index) => [`K${index}`, "x".repeat(7500)]));
    const apps = Array.from({ length: 20 }, (_, index) => `app${index}`);
    for (const name of apps) await channel.unary(AppService.method.createApp, { app: { name, dockerImage: "a", envVars } }, { headers });
    await channel.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup: { name: "g", apps } }, { headers });
    const { warnings } = await channel.unary(ConfigService.method.getConfig, { deviceGroup: "g" }, { headers });
    assert.match(warnings.join(), /1\.\d MiB/);
    const watch = new TestWatch(channel, { deviceGroup: "g" }, headers);
    await eventually(() => watch.answers[0]?.case === "config");
    assert.match(await rig.registry.metrics(), /nebula_oversized_configs 1/);
    await channel.unary(
      DeviceGroupService.method.updateDeviceGroup,
      { deviceGroup: { name: "g", apps: ["app1"] }, updateFields: ["apps"] },
      { headers },
    );
    await eventually(async () => /nebula_oversized_configs 0/.test(await rig.registry.metrics()));
    assert.deepEqual((await channel.unary(ConfigService.method.getConfig, { deviceGroup: "g" }, { headers })).warnings, []);
  });
});
