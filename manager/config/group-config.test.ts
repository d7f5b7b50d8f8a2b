import { strict as assert } from "node:assert";
import { create, toJsonString } from "@bufbuild/protobuf";
import { encodeCanonical } from "../../common/config/canonical-encoding.ts";
import { etagOf } from "../../common/config/etag.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { sealValue } from "../../common/secrets/seal-value.ts";
import { deriveSecretKeys } from "../../common/secrets/secret-keys.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { AppSchema, AppService } from "../../gen/nebula/v1/app_pb.ts";
import { ConfigSchema, ConfigService, GetConfigResponseSchema } from "../../gen/nebula/v1/config_pb.ts";
import { CronJobService } from "../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { ADMIN as headers, startManagerRig } from "../testing/manager-rig.ts";
import { TestWatch } from "../testing/watch-rig.ts";

describe("secret values in a config", () => {
  it("secret values are sent to a watch alone, and part of the etag; neither GetConfig nor the log shows them", async () => {
    await using rig = await startManagerRig();
    const channel = rig.channel();
    const job = { name: "job", schedule: "@daily", dockerImage: "a:1", secretEnvVars: { KEY: "hunter2" } };
    await channel.unary(AppService.method.createApp, { app: { name: "web", dockerImage: "a:1", secretEnvVars: { TOKEN: "hunter2" } } }, { headers });
    await channel.unary(CronJobService.method.createCronJob, { cronJob: job }, { headers });
    await channel.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup: { name: "g", apps: ["web"], cronJobs: ["job"] } }, { headers });

    const watch = new TestWatch(channel, { deviceGroup: "g" }, headers);
    const pushed = await eventually(() => (watch.answers[0]?.case === "config" ? watch.answers[0].value : false));
    const config = create(ConfigSchema, pushed.config);
    assert.deepEqual(config.apps[0]?.app?.secretEnvVars, { TOKEN: "hunter2" });
    assert.deepEqual(config.cronJobs[0]?.cronJob?.secretEnvVars, { KEY: "hunter2" });
    assert.equal(etagOf(encodeCanonical(ConfigSchema, config)), pushed.etag);

    const read = await channel.unary(ConfigService.method.getConfig, { deviceGroup: "g" }, { headers });
    const text = toJsonString(GetConfigResponseSchema, read);
    assert.equal(text.match(/secret:[0-9a-f]{8}/g)?.length, 2);
    assert.ok(!/hunter2|nebula-sealed/.test(text), text);
    assert.equal(read.etag, pushed.etag);

    const app = { name: "web", secretEnvVars: { TOKEN: "swordfish" } };
    await channel.unary(AppService.method.updateApp, { app, updateFields: ["secret_env_vars"] }, { headers });
    const next = await eventually(() => (watch.answers[1]?.case === "config" ? watch.answers[1].value : false));
    assert.equal(next.config?.apps[0]?.app?.secretEnvVars.TOKEN, "swordfish");
    assert.notEqual(next.etag, pushed.etag);
    assert.ok(!/hunter2|swordfish|nebula-sealed/.test(rig.logged.join("")), rig.logged.join(""));
    watch.close();
  });

  it("secret values that cannot be opened block no device: devices keep their config, log and metrics say why, and a new value repairs it", async () => {
    await using rig = await startManagerRig({ settings: { cacheTimeMs: 50 } });
    const channel = rig.channel();
    const { configStore } = rig.drivers;
    await channel.unary(AppService.method.createApp, { app: { name: "web", dockerImage: "a:1", secretEnvVars: { TOKEN: "hunter2" } } }, { headers });
    for (const name of ["g", "other"]) {
      await channel.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup: { name, apps: name === "g" ? ["web"] : [] } }, { headers });
    }
    const watch = new TestWatch(channel, { deviceGroup: "g" }, headers);
    await eventually(() => watch.answers.length === 1);

    const sealed = sealValue(deriveSecretKeys("a lost cluster key"), { kind: "app", name: "web", variable: "TOKEN" }, "hunter2");
    const body = encodeCanonical(AppSchema, create(AppSchema, { name: "web", dockerImage: "a:2", secretEnvVars: { TOKEN: sealed } }));
    const change = { deleted: false, action: "update", changedAt: 0, changedBy: "ann" } as const;
    await configStore.write({ kind: "app", name: "web", expected: 1n, revision: 2n, body, ...change });

    await eventually(async () => /nebula_config_loads_total\{result="unreadable"\} [1-9]/.test(await rig.registry.metrics()));
    assert.ok(rig.logged.some((line) => /secret_env_vars\.TOKEN of app web can't be opened: .* cluster key with the id/.test(line)));
    await assert.rejects(channel.unary(ConfigService.method.getConfig, { deviceGroup: "g" }, { headers }), (error) =>
      isNebulaError(error, "failed_precondition"),
    );
    const late = new TestWatch(channel, { deviceGroup: "g", boot: "late" }, headers);
    const other = new TestWatch(channel, { deviceGroup: "other" }, headers);
    await eventually(() => other.answers.length === 1);
    const app = await channel.unary(AppService.method.getApp, { name: "web" }, { headers });
    assert.match(app.app?.secretEnvVars.TOKEN ?? "", /^secret:[0-9a-f]{8}$/);
    assert.deepEqual(watch.heard, ["a:1@1"]);

    const given = { name: "web", secretEnvVars: { TOKEN: "given again" } };
    await channel.unary(AppService.method.updateApp, { app: given, updateFields: ["secret_env_vars.TOKEN"] }, { headers });
    await eventually(() => watch.last === "a:2@3" && late.last === "a:2@3");
    assert.deepEqual(watch.heard, ["a:1@1", "a:2@3"]);
    for (const one of [watch, late, other]) one.close();
  });
});
