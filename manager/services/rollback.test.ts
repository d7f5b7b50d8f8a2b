import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { freshName } from "../../common/storage/contracts/config-store-samples.ts";
import { RestartAppRequestSchema } from "../../gen/nebula/v1/app_pb.ts";
import { CreateCronJobRequestSchema, UpdateCronJobRequestSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import {
  CreateDeviceGroupRequestSchema,
  DeleteDeviceGroupRequestSchema,
  PruneRequestSchema,
  UpdateDeviceGroupRequestSchema,
} from "../../gen/nebula/v1/device_group_pb.ts";
import { rightsOf } from "../access/rights/rights.ts";
import type { Changed } from "../audit/call-record.ts";
import type { CallContext } from "../rpc/call-context.ts";
import { refusal } from "../testing/app-calls.ts";
import { callOf } from "../testing/entity-rig.ts";
import { actionOf, ann, describeHistory, texts } from "../testing/history-rig.ts";

describeHistory("a rollback", (on) => {
  it("a rollback takes the body of the revision before; a second one goes forth again", async () => {
    await on.calls.createApp(on.web, { envVars: { A: "1" } });
    await on.calls.updateApp(on.web, { dockerImage: "shop:2", envVars: {} }, "docker_image", "env_vars");
    const back = await on.calls.rollback("app", on.web);
    assert.deepEqual([back.revisionBefore, back.revision, back.to, back.restored], [2n, 3n, 1n, false]);
    assert.deepEqual(texts(back.differences), ['docker_image: "shop:2" -> "shop:1"', 'env_vars: - -> {"A":"1"}']);
    assert.equal(await on.imageOf(on.web), "shop:1");
    const forth = await on.calls.rollback("app", on.web);
    assert.deepEqual([forth.revision, forth.to, await on.imageOf(on.web)], [4n, 2n, "shop:2"]);
    const again = await on.calls.rollback("app", on.web, { to: 1n });
    assert.deepEqual([again.revision, await on.imageOf(on.web)], [5n, "shop:1"]);
    assert.deepEqual(
      (await on.calls.revisions("app", on.web)).revisions.map(({ action }) => actionOf(action)),
      ["ROLLBACK", "ROLLBACK", "ROLLBACK", "UPDATE", "CREATE"],
    );
  });

  it("a rollback leaves restart_count and prune_id as they are today", async () => {
    await on.calls.createApp(on.web);
    await on.rig.apps.restartApp(create(RestartAppRequestSchema, { name: on.web }), ann);
    await on.calls.updateApp(on.web, { dockerImage: "shop:2" }, "docker_image");
    const { body } = await on.calls.rollback("app", on.web, { to: 1n });
    assert.deepEqual(body.case === "app" && [body.value.dockerImage, body.value.restartCount], ["shop:1", 1n]);

    const pos = freshName("pos");
    await on.rig.groups.createDeviceGroup(create(CreateDeviceGroupRequestSchema, { deviceGroup: { name: pos } }), ann);
    await on.rig.groups.prune(create(PruneRequestSchema, { name: pos }), ann);
    await on.rig.groups.updateDeviceGroup(
      create(UpdateDeviceGroupRequestSchema, { deviceGroup: { name: pos, apps: [on.web] }, updateFields: ["apps"] }),
      ann,
    );
    const group = await on.calls.rollback("device_group", pos, { to: 1n });
    assert.deepEqual(group.body.case === "deviceGroup" && [group.body.value.apps, group.body.value.pruneId], [[], 2n]);
    assert.deepEqual(await on.store.groupsNaming("app", on.web), []);
  });

  it("a rollback in which nothing differs writes nothing", async () => {
    await on.calls.createApp(on.web);
    await on.rig.apps.restartApp(create(RestartAppRequestSchema, { name: on.web }), ann);
    const changes: Changed[] = [];
    const { revisionBefore, revision, differences } = await on.calls.rollback(
      "app",
      on.web,
      {},
      callOf("ann", { changed: (change) => void changes.push(change) }),
    );
    assert.deepEqual([revisionBefore, revision, differences], [2n, 2n, []]);
    assert.deepEqual(
      changes.map(({ detail }) => detail),
      ["nothing differs"],
    );
    assert.equal((await on.store.get({ kind: "app", name: on.web }))?.revision, 2n);
  });

  it("a rollback of an app that was created again takes the body before the delete, and none of the delete itself", async () => {
    await on.calls.createApp(on.web);
    await on.calls.deleteApp(on.web);
    await on.calls.createApp(on.web, { dockerImage: "other:1" });
    await assert.rejects(
      on.calls.rollback("app", on.web, { to: 2n }),
      refusal("failed_precondition", /revision 2 of app .* is its delete: use a revision before it/),
    );
    const back = await on.calls.rollback("app", on.web);
    assert.deepEqual([back.to, back.revision, await on.imageOf(on.web)], [1n, 4n, "shop:1"]);
  });

  it("a rollback of a group is refused where a member is gone, deleted groups included, and writes nothing", async () => {
    const [pos, api] = [freshName("pos"), freshName("api")];
    await on.calls.createApp(on.web);
    await on.calls.createApp(api);
    await on.rig.groups.createDeviceGroup(create(CreateDeviceGroupRequestSchema, { deviceGroup: { name: pos, apps: [on.web, api] } }), ann);
    await on.rig.groups.updateDeviceGroup(
      create(UpdateDeviceGroupRequestSchema, { deviceGroup: { name: pos, apps: [on.web] }, updateFields: ["apps"] }),
      ann,
    );
    await on.calls.deleteApp(api);
    const gone = refusal("failed_precondition", new RegExp(`device_group ${pos} had app ${api} then, which does not exist now`));
    for (const dryRun of [true, false]) await assert.rejects(on.calls.rollback("device_group", pos, { dryRun }), gone);
    await on.rig.groups.deleteDeviceGroup(create(DeleteDeviceGroupRequestSchema, { name: pos }), ann);
    await assert.rejects(on.calls.rollback("device_group", pos, { to: 1n }), gone);
    assert.equal((await on.store.get({ kind: "device_group", name: pos }))?.revision, 3n);
    const back = await on.calls.rollback("device_group", pos);
    assert.deepEqual([back.to, back.restored, await on.store.groupsNaming("app", on.web)], [2n, true, [pos]]);
  });

  it("a rollback of a cron_job warns and answers as one of an app does", async () => {
    const nightly = freshName("nightly");
    const cronJob = { name: nightly, schedule: "@daily", dockerImage: "backup:1" };
    await on.rig.cronJobs.createCronJob(create(CreateCronJobRequestSchema, { cronJob }), ann);
    await on.rig.cronJobs.updateCronJob(
      create(UpdateCronJobRequestSchema, { cronJob: { name: nightly, schedule: "@hourly" }, updateFields: ["schedule"] }),
      ann,
    );
    const { differences, body } = await on.calls.rollback("cron_job", nightly);
    assert.deepEqual([texts(differences), body.case], [['schedule: "@hourly" -> "@daily"'], "cronJob"]);
  });

  it("a rollback is made at the revision that was shown alone", async () => {
    await on.calls.createApp(on.web);
    await on.calls.updateApp(on.web, { dockerImage: "shop:2" }, "docker_image");
    const stale = refusal("conflict", /is at revision \d, not at 1 \(if_revision\)/);
    for (const dryRun of [true, false]) await assert.rejects(on.calls.rollback("app", on.web, { ifRevision: 1n, dryRun }), stale);
    await on.calls.deleteApp(on.web);
    for (const dryRun of [true, false]) await assert.rejects(on.calls.rollback("app", on.web, { ifRevision: 1n, dryRun }), stale);
    assert.equal((await on.store.get({ kind: "app", name: on.web }))?.revision, 3n);
  });

  it("a dry run of a rollback writes, announces and records nothing, and answers what the rollback then answers", async () => {
    await on.calls.createApp(on.web, { secretEnvVars: { TOKEN: "one" } });
    await on.calls.updateApp(on.web, { dockerImage: "shop:2", secretEnvVars: { TOKEN: "two" } }, "docker_image", "secret_env_vars");
    const [told, changes]: [number, Changed[]] = [on.rig.told.length, []];
    const context = callOf("ann", { changed: (change) => void changes.push(change) });
    const shown = await on.calls.rollback("app", on.web, { dryRun: true }, context);
    assert.deepEqual([on.rig.told.length, changes, (await on.store.get({ kind: "app", name: on.web }))?.revision], [told, [], 2n]);
    assert.deepEqual(await on.calls.rollback("app", on.web, { ifRevision: 2n }, context), shown);
    assert.deepEqual(changes, [{ kind: "app", name: on.web, revisionBefore: 2n, revisionAfter: 3n, detail: "rollback to revision 1" }]);
    assert.equal(on.rig.told.at(-1), `app ${on.web} 3`);
  });

  it("a rollback of what never was, or has one revision, is refused", async () => {
    await assert.rejects(
      on.calls.rollback("app", freshName("never")),
      refusal("not_found", /^there is no app "never.*": create it, or look for its name in the list$/),
    );
    await on.calls.createApp(on.web);
    await assert.rejects(on.calls.rollback("app", on.web), refusal("failed_precondition", /there is nothing to roll back to/));
    await assert.rejects(on.calls.rollback("app", "no name"), refusal("invalid_argument", /name/));
  });

  it("a rollback lets a caller add no member to a group that it may not read", async () => {
    const pos = freshName("pos");
    await on.calls.createApp(on.web);
    await on.rig.groups.createDeviceGroup(create(CreateDeviceGroupRequestSchema, { deviceGroup: { name: pos, apps: [on.web] } }), ann);
    await on.rig.groups.updateDeviceGroup(create(UpdateDeviceGroupRequestSchema, { deviceGroup: { name: pos }, updateFields: ["apps"] }), ann);
    const rights = rightsOf([{ admin: false, pruningAllowed: false, apps: {}, cronJobs: {}, deviceGroups: { [pos]: "rw" } }]);
    const eve: CallContext = { ...ann, principal: { kind: "user", name: "eve", rights } };
    await assert.rejects(on.calls.rollback("device_group", pos, {}, eve), refusal("permission_denied", new RegExp(`ro on the app ${on.web}`)));
  });
});
