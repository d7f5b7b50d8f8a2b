import { strict as assert } from "node:assert";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { systemClock } from "../../common/clock/system-clock.ts";
import { targetKindOf } from "../../common/resources/target-kind.ts";
import { openSecretEnvVars } from "../../common/secrets/secret-env-vars.ts";
import { openCassandraConfigStore } from "../../common/storage/cassandra/entities/config-store.ts";
import type { ConfigStore, EntityKind } from "../../common/storage/config-store.ts";
import { freshName } from "../../common/storage/contracts/config-store-samples.ts";
import { openSqliteConfigStore } from "../../common/storage/sqlite/config-store.ts";
import { requireServer } from "../../common/testing/servers.ts";
import { createTestKeyspace, type TestKeyspace } from "../../common/testing/test-keyspace.ts";
import {
  AppSchema,
  CreateAppRequestSchema,
  DeleteAppRequestSchema,
  RestartAppRequestSchema,
  UpdateAppRequestSchema,
} from "../../gen/nebula/v1/app_pb.ts";
import { CreateCronJobRequestSchema, UpdateCronJobRequestSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import {
  CreateDeviceGroupRequestSchema,
  DeleteDeviceGroupRequestSchema,
  PruneRequestSchema,
  UpdateDeviceGroupRequestSchema,
} from "../../gen/nebula/v1/device_group_pb.ts";
import {
  GetRevisionRequestSchema,
  ListRevisionsRequestSchema,
  ListRevisionsResponseSchema,
  RevisionActionSchema,
  RevisionSchema,
  RollbackRequestSchema,
  RollbackResponseSchema,
} from "../../gen/nebula/v1/history_pb.ts";
import { type FieldDifference, FieldDifferenceSchema } from "../../gen/nebula/v1/plan_pb.ts";
import { rightsOf } from "../access/rights/rights.ts";
import type { Changed } from "../audit/call-record.ts";
import type { CallContext } from "../rpc/call-context.ts";
import type { AppInit } from "../testing/app-calls.ts";
import { refusal } from "../testing/app-calls.ts";
import { callOf, type EntityRig, startEntityRig } from "../testing/entity-rig.ts";
import { createHistoryServiceHandlers } from "./history-service.ts";

const ann = callOf("ann");

/** `docker_image: "a" -> "b"`; a default is `-`. */
function texts(differences: readonly (MessageInitShape<typeof FieldDifferenceSchema> | FieldDifference)[] | undefined): string[] {
  return (differences ?? []).map((init) => {
    const { field, beforeJson = "-", afterJson = "-" } = create(FieldDifferenceSchema, init);
    return `${field}: ${beforeJson} -> ${afterJson}`;
  });
}

function actionOf(action: number): string | undefined {
  return RevisionActionSchema.values.find(({ number }) => number === action)?.localName;
}

/** Calls about one app, cron_job or group over a store. */
function callsOver(rig: EntityRig) {
  const none = { listAudit: async () => ({ items: [], next: undefined }) };
  const history = createHistoryServiceHandlers({ ...rig.deps, accessStore: none });
  return {
    history,
    createApp: (name: string, app: AppInit = {}) =>
      rig.apps.createApp(create(CreateAppRequestSchema, { app: { dockerImage: "shop:1", ...app, name } }), ann),
    updateApp: (name: string, app: AppInit, ...updateFields: string[]) =>
      rig.apps.updateApp(create(UpdateAppRequestSchema, { app: { ...app, name }, updateFields }), ann),
    deleteApp: (name: string) => rig.apps.deleteApp(create(DeleteAppRequestSchema, { name }), ann),
    async revisions(kind: EntityKind, name: string, page: { pageSize?: number; pageToken?: string } = {}) {
      const answer = await history.listRevisions(create(ListRevisionsRequestSchema, { kind: targetKindOf(kind), name, ...page }), ann);
      return create(ListRevisionsResponseSchema, answer);
    },
    async revision(kind: EntityKind, name: string, revision: bigint) {
      const answer = await history.getRevision(create(GetRevisionRequestSchema, { kind: targetKindOf(kind), name, revision }), ann);
      return create(RevisionSchema, answer.revision);
    },
    async rollback(
      kind: EntityKind,
      name: string,
      more: { to?: bigint; ifRevision?: bigint; secrets?: boolean; dryRun?: boolean } = {},
      context: CallContext = ann,
    ) {
      const request = create(RollbackRequestSchema, { kind: targetKindOf(kind), name, ...more });
      return create(RollbackResponseSchema, await history.rollback(request, context));
    },
  };
}

/** The stored secret values of an app, opened. */
async function secretsOf({ store, deps }: EntityRig, name: string): Promise<Record<string, string>> {
  const stored = await store.get({ kind: "app", name });
  const { secretEnvVars } = fromBinary(AppSchema, stored?.body ?? assert.fail(`no app ${name}`));
  openSecretEnvVars(deps.secretKeys, { kind: "app", name }, secretEnvVars);
  return { ...secretEnvVars };
}

function describeHistory(driver: string, open: (context: Mocha.Context) => Promise<ConfigStore>): void {
  describe(`HistoryService: ${driver}`, function () {
    this.timeout(60_000);
    let store: ConfigStore;
    let rig: EntityRig;
    let calls: ReturnType<typeof callsOver>;
    let web: string;
    before(async function () {
      store = await open(this);
      rig = await startEntityRig({ store });
      calls = callsOver(rig);
    });
    after(async () => {
      await rig?.[Symbol.asyncDispose]();
      await store?.[Symbol.asyncDispose]();
    });
    beforeEach(() => {
      web = freshName("web");
    });

    const imageOf = async (name: string) => {
      const answer = await rig.store.get({ kind: "app", name });
      return fromBinary(AppSchema, answer?.body ?? new Uint8Array()).dockerImage;
    };

    it("a history names who, what and each field with its values, newest first, and shows secret values as every read does", async () => {
      await calls.createApp(web, { envVars: { REGION: "eu" }, secretEnvVars: { TOKEN: "one" } });
      await calls.updateApp(web, { dockerImage: "shop:2", secretEnvVars: { TOKEN: "two" } }, "docker_image", "secret_env_vars");
      await rig.apps.restartApp(create(RestartAppRequestSchema, { name: web }), callOf("bob"));
      await calls.deleteApp(web);
      const { revisions, nextPageToken } = await calls.revisions("app", web);
      assert.equal(nextPageToken, "");
      assert.deepEqual(
        revisions.map(({ revision, action, change, previousRevision, body }) => [
          revision,
          actionOf(action),
          change?.by,
          previousRevision,
          body.case,
        ]),
        [
          [4n, "DELETE", "ann", 3n, undefined],
          [3n, "RESTART", "bob", 2n, "app"],
          [2n, "UPDATE", "ann", 1n, "app"],
          [1n, "CREATE", "ann", 0n, "app"],
        ],
      );
      const [deleted, restarted, updated, created] = revisions.map(({ differences }) => texts(differences));
      assert.deepEqual([deleted, restarted], [[], []]);
      assert.deepEqual(created?.slice(0, 2), ['docker_image: - -> "shop:1"', 'env_vars: - -> {"REGION":"eu"}']);
      assert.equal(updated?.[0], 'docker_image: "shop:1" -> "shop:2"');
      assert.match(updated?.[1] ?? "", /^secret_env_vars: \{"TOKEN":"secret:([0-9a-f]{8})"\} -> \{"TOKEN":"secret:(?!\1)[0-9a-f]{8}"\}$/);
      assert.ok(!Buffer.from(toBinary(ListRevisionsResponseSchema, create(ListRevisionsResponseSchema, { revisions }))).includes("nebula-sealed"));
      assert.deepEqual(await calls.revision("app", web, 2n), revisions[2]);
    });

    it("a history is read in pages, which compare across their border, and ends where the last one says", async () => {
      await calls.createApp(web);
      for (const image of ["shop:2", "shop:3", "shop:4"]) await calls.updateApp(web, { dockerImage: image }, "docker_image");
      const read: string[] = [];
      for (let pageToken = ""; ; ) {
        const page = await calls.revisions("app", web, { pageSize: 3, pageToken });
        read.push(...page.revisions.flatMap(({ revision, differences }) => texts(differences).map((text) => `${revision} ${text}`)));
        pageToken = page.nextPageToken;
        if (pageToken === "") break;
      }
      assert.deepEqual(read, [
        '4 docker_image: "shop:3" -> "shop:4"',
        '3 docker_image: "shop:2" -> "shop:3"',
        '2 docker_image: "shop:1" -> "shop:2"',
        '1 docker_image: - -> "shop:1"',
      ]);
      assert.deepEqual((await calls.revisions("app", freshName("never"))).revisions, []);
      await assert.rejects(calls.revisions("app", web, { pageToken: "nonsense" }), refusal("invalid_argument", /page_token/));
    });

    it("a page of a history stays below the size that clients take, with each revision on one page", async () => {
      await calls.createApp(web);
      const images = Array.from({ length: 20 }, (_, at) => `shop:${at + 2}`);
      for (const dockerImage of images) {
        const envVars = { LARGE: dockerImage.padEnd(60_000, "x") };
        await calls.updateApp(web, { dockerImage, envVars }, "docker_image", "env_vars");
      }
      const seen: bigint[] = [];
      const sizes: number[] = [];
      for (let pageToken = ""; ; ) {
        const page = await calls.revisions("app", web, { pageToken });
        sizes.push(toBinary(ListRevisionsResponseSchema, page).byteLength);
        seen.push(...page.revisions.map(({ revision }) => revision));
        pageToken = page.nextPageToken;
        if (pageToken === "") break;
      }
      assert.deepEqual(
        seen,
        Array.from({ length: 21 }, (_, at) => BigInt(21 - at)),
      );
      assert.ok(sizes.length === 2 && sizes.every((size) => size < 3 * 1024 * 1024), sizes.join());
    });

    it("a revision that never was is not found", async () => {
      await calls.createApp(web);
      for (const revision of [0n, 2n, 2n ** 64n - 1n])
        await assert.rejects(calls.revision("app", web, revision), refusal("not_found", /never was, or is no longer kept/));
      await assert.rejects(calls.rollback("app", web, { to: 7n }), refusal("not_found", /revision 7/));
    });

    it("a rollback takes the body of the revision before; a second one goes forth again", async () => {
      await calls.createApp(web, { envVars: { A: "1" } });
      await calls.updateApp(web, { dockerImage: "shop:2", envVars: {} }, "docker_image", "env_vars");
      const back = await calls.rollback("app", web);
      assert.deepEqual([back.revisionBefore, back.revision, back.to, back.restored], [2n, 3n, 1n, false]);
      assert.deepEqual(texts(back.differences), ['docker_image: "shop:2" -> "shop:1"', 'env_vars: - -> {"A":"1"}']);
      assert.equal(await imageOf(web), "shop:1");
      const forth = await calls.rollback("app", web);
      assert.deepEqual([forth.revision, forth.to, await imageOf(web)], [4n, 2n, "shop:2"]);
      const again = await calls.rollback("app", web, { to: 1n });
      assert.deepEqual([again.revision, await imageOf(web)], [5n, "shop:1"]);
      assert.deepEqual(
        (await calls.revisions("app", web)).revisions.map(({ action }) => actionOf(action)),
        ["ROLLBACK", "ROLLBACK", "ROLLBACK", "UPDATE", "CREATE"],
      );
    });

    it("a rollback leaves restart_count and prune_id as they are today", async () => {
      await calls.createApp(web);
      await rig.apps.restartApp(create(RestartAppRequestSchema, { name: web }), ann);
      await calls.updateApp(web, { dockerImage: "shop:2" }, "docker_image");
      const { body } = await calls.rollback("app", web, { to: 1n });
      assert.deepEqual(body.case === "app" && [body.value.dockerImage, body.value.restartCount], ["shop:1", 1n]);

      const pos = freshName("pos");
      await rig.groups.createDeviceGroup(create(CreateDeviceGroupRequestSchema, { deviceGroup: { name: pos } }), ann);
      await rig.groups.prune(create(PruneRequestSchema, { name: pos }), ann);
      await rig.groups.updateDeviceGroup(
        create(UpdateDeviceGroupRequestSchema, { deviceGroup: { name: pos, apps: [web] }, updateFields: ["apps"] }),
        ann,
      );
      const group = await calls.rollback("device_group", pos, { to: 1n });
      assert.deepEqual(group.body.case === "deviceGroup" && [group.body.value.apps, group.body.value.pruneId], [[], 2n]);
      assert.deepEqual(await store.groupsNaming("app", web), []);
    });

    it("a rollback in which nothing differs writes nothing", async () => {
      await calls.createApp(web);
      await rig.apps.restartApp(create(RestartAppRequestSchema, { name: web }), ann);
      const changes: Changed[] = [];
      const { revisionBefore, revision, differences } = await calls.rollback(
        "app",
        web,
        {},
        callOf("ann", { changed: (change) => void changes.push(change) }),
      );
      assert.deepEqual([revisionBefore, revision, differences], [2n, 2n, []]);
      assert.deepEqual(
        changes.map(({ detail }) => detail),
        ["nothing differs"],
      );
      assert.equal((await store.get({ kind: "app", name: web }))?.revision, 2n);
    });

    it("a rollback keeps a secret value that was rotated, and with secrets brings the older one back", async () => {
      await calls.createApp(web, { secretEnvVars: { TOKEN: "one", SAME: "same" } });
      await calls.updateApp(web, { dockerImage: "shop:2", secretEnvVars: { TOKEN: "two", SAME: "same" } }, "docker_image", "secret_env_vars");
      const kept = await calls.rollback("app", web);
      assert.deepEqual([kept.keptSecrets, texts(kept.differences)], [["TOKEN"], ['docker_image: "shop:2" -> "shop:1"']]);
      assert.deepEqual(await secretsOf(rig, web), { TOKEN: "two", SAME: "same" });
      const brought = await calls.rollback("app", web, { to: 1n, secrets: true });
      assert.deepEqual(brought.keptSecrets, []);
      assert.match(texts(brought.differences).join(), /^secret_env_vars: .*"TOKEN":"secret:[0-9a-f]{8}"/);
      assert.deepEqual(await secretsOf(rig, web), { TOKEN: "one", SAME: "same" });
      const nothing = await calls.rollback("app", web, { to: 1n, secrets: true });
      assert.equal(nothing.revision, nothing.revisionBefore, "equal values are no difference, however they are sealed");
    });

    it("a rollback brings back the secret variables that only the older body has, and takes away those that it had not", async () => {
      await calls.createApp(web, { secretEnvVars: { OLD: "old" } });
      await calls.updateApp(web, { secretEnvVars: { NEW: "new" } }, "secret_env_vars");
      await calls.rollback("app", web);
      assert.deepEqual(await secretsOf(rig, web), { OLD: "old" });
      await calls.rollback("app", web);
      assert.deepEqual(await secretsOf(rig, web), { NEW: "new" });
    });

    it("a rollback is refused where a secret value of the new body does not open, and names the variable", async () => {
      await calls.createApp(web, { secretEnvVars: { TOKEN: "one" } });
      await calls.updateApp(web, { dockerImage: "shop:2", secretEnvVars: {} }, "docker_image", "secret_env_vars");
      await using rotated = await startEntityRig({ store, clusterKey: "another cluster key" });
      const after = callsOver(rotated);
      for (const dryRun of [true, false])
        await assert.rejects(
          after.rollback("app", web, { dryRun }),
          refusal("failed_precondition", /secret_env_vars\.TOKEN of app .* can't be opened: .*cluster key/),
        );
      assert.equal((await store.get({ kind: "app", name: web }))?.revision, 2n);
      await calls.rollback("app", web);
    });

    it("a rollback of a deleted app brings back its last body, its secrets included, or an older one with the secrets that it had last", async () => {
      await calls.createApp(web, { secretEnvVars: { TOKEN: "one" } });
      await calls.updateApp(web, { dockerImage: "shop:2", secretEnvVars: { TOKEN: "two" } }, "docker_image", "secret_env_vars");
      await calls.deleteApp(web);
      const restored = await calls.rollback("app", web, { ifRevision: 3n });
      assert.deepEqual([restored.revisionBefore, restored.revision, restored.to, restored.restored], [3n, 4n, 2n, true]);
      assert.deepEqual([await imageOf(web), await secretsOf(rig, web)], ["shop:2", { TOKEN: "two" }]);
      assert.deepEqual(
        (await calls.revisions("app", web)).revisions.map((each) => each.restored),
        [true, false, false, false],
      );
      await calls.deleteApp(web);
      await calls.rollback("app", web, { to: 1n });
      assert.deepEqual([await imageOf(web), await secretsOf(rig, web)], ["shop:1", { TOKEN: "two" }]);
      await calls.deleteApp(web);
      await calls.rollback("app", web, { to: 1n, secrets: true });
      assert.deepEqual(await secretsOf(rig, web), { TOKEN: "one" });
      assert.equal((await store.get({ kind: "app", name: web }))?.deleted, false);
    });

    it("a rollback of an app that was created again takes the body before the delete, and none of the delete itself", async () => {
      await calls.createApp(web);
      await calls.deleteApp(web);
      await calls.createApp(web, { dockerImage: "other:1" });
      await assert.rejects(
        calls.rollback("app", web, { to: 2n }),
        refusal("failed_precondition", /revision 2 of app .* is its delete: use a revision before it/),
      );
      const back = await calls.rollback("app", web);
      assert.deepEqual([back.to, back.revision, await imageOf(web)], [1n, 4n, "shop:1"]);
    });

    it("a rollback of a group is refused where a member is gone, deleted groups included, and writes nothing", async () => {
      const [pos, api] = [freshName("pos"), freshName("api")];
      await calls.createApp(web);
      await calls.createApp(api);
      await rig.groups.createDeviceGroup(create(CreateDeviceGroupRequestSchema, { deviceGroup: { name: pos, apps: [web, api] } }), ann);
      await rig.groups.updateDeviceGroup(
        create(UpdateDeviceGroupRequestSchema, { deviceGroup: { name: pos, apps: [web] }, updateFields: ["apps"] }),
        ann,
      );
      await calls.deleteApp(api);
      const gone = refusal("failed_precondition", new RegExp(`device_group ${pos} had app ${api} then, which does not exist now`));
      for (const dryRun of [true, false]) await assert.rejects(calls.rollback("device_group", pos, { dryRun }), gone);
      await rig.groups.deleteDeviceGroup(create(DeleteDeviceGroupRequestSchema, { name: pos }), ann);
      await assert.rejects(calls.rollback("device_group", pos, { to: 1n }), gone);
      assert.equal((await store.get({ kind: "device_group", name: pos }))?.revision, 3n);
      const back = await calls.rollback("device_group", pos);
      assert.deepEqual([back.to, back.restored, await store.groupsNaming("app", web)], [2n, true, [pos]]);
    });

    it("a rollback of a cron_job warns and answers as one of an app does", async () => {
      const nightly = freshName("nightly");
      const cronJob = { name: nightly, schedule: "@daily", dockerImage: "backup:1" };
      await rig.cronJobs.createCronJob(create(CreateCronJobRequestSchema, { cronJob }), ann);
      await rig.cronJobs.updateCronJob(
        create(UpdateCronJobRequestSchema, { cronJob: { name: nightly, schedule: "@hourly" }, updateFields: ["schedule"] }),
        ann,
      );
      const { differences, body } = await calls.rollback("cron_job", nightly);
      assert.deepEqual([texts(differences), body.case], [['schedule: "@hourly" -> "@daily"'], "cronJob"]);
    });

    it("a rollback is made at the revision that was shown alone", async () => {
      await calls.createApp(web);
      await calls.updateApp(web, { dockerImage: "shop:2" }, "docker_image");
      const stale = refusal("conflict", /is at revision \d, not at 1 \(if_revision\)/);
      for (const dryRun of [true, false]) await assert.rejects(calls.rollback("app", web, { ifRevision: 1n, dryRun }), stale);
      await calls.deleteApp(web);
      for (const dryRun of [true, false]) await assert.rejects(calls.rollback("app", web, { ifRevision: 1n, dryRun }), stale);
      assert.equal((await store.get({ kind: "app", name: web }))?.revision, 3n);
    });

    it("a dry run of a rollback writes, announces and records nothing, and answers what the rollback then answers", async () => {
      await calls.createApp(web, { secretEnvVars: { TOKEN: "one" } });
      await calls.updateApp(web, { dockerImage: "shop:2", secretEnvVars: { TOKEN: "two" } }, "docker_image", "secret_env_vars");
      const [told, changes]: [number, Changed[]] = [rig.told.length, []];
      const context = callOf("ann", { changed: (change) => void changes.push(change) });
      const shown = await calls.rollback("app", web, { dryRun: true }, context);
      assert.deepEqual([rig.told.length, changes, (await store.get({ kind: "app", name: web }))?.revision], [told, [], 2n]);
      assert.deepEqual(await calls.rollback("app", web, { ifRevision: 2n }, context), shown);
      assert.deepEqual(changes, [{ kind: "app", name: web, revisionBefore: 2n, revisionAfter: 3n, detail: "rollback to revision 1" }]);
      assert.equal(rig.told.at(-1), `app ${web} 3`);
    });

    it("a rollback of what never was, or has one revision, is refused", async () => {
      await assert.rejects(
        calls.rollback("app", freshName("never")),
        refusal("not_found", /^there is no app "never.*": create it, or look for its name in the list$/),
      );
      await calls.createApp(web);
      await assert.rejects(calls.rollback("app", web), refusal("failed_precondition", /there is nothing to roll back to/));
      await assert.rejects(calls.rollback("app", "no name"), refusal("invalid_argument", /name/));
    });

    it("a rollback lets a caller add no member to a group that it may not read", async () => {
      const pos = freshName("pos");
      await calls.createApp(web);
      await rig.groups.createDeviceGroup(create(CreateDeviceGroupRequestSchema, { deviceGroup: { name: pos, apps: [web] } }), ann);
      await rig.groups.updateDeviceGroup(create(UpdateDeviceGroupRequestSchema, { deviceGroup: { name: pos }, updateFields: ["apps"] }), ann);
      const rights = rightsOf([{ admin: false, pruningAllowed: false, apps: {}, cronJobs: {}, deviceGroups: { [pos]: "rw" } }]);
      const eve: CallContext = { ...ann, principal: { kind: "user", name: "eve", rights } };
      await assert.rejects(calls.rollback("device_group", pos, {}, eve), refusal("permission_denied", new RegExp(`ro on the app ${web}`)));
    });
  });
}

describeHistory("sqlite", () => openSqliteConfigStore({ path: ":memory:" }));

describe("on Cassandra", () => {
  let keyspace: TestKeyspace | undefined;
  after(() => keyspace?.[Symbol.asyncDispose]());
  describeHistory("cassandra", async (context) => {
    keyspace = await createTestKeyspace(await requireServer(context, "cassandra"));
    return openCassandraConfigStore({ client: keyspace.client, clock: systemClock });
  });
});
