import { strict as assert } from "node:assert";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { systemClock } from "../../common/clock/system-clock.ts";
import { targetKindOf } from "../../common/resources/target-kind.ts";
import { openSecretEnvVars } from "../../common/secrets/secret-env-vars.ts";
import { openCassandraConfigStore } from "../../common/storage/cassandra/entities/config-store.ts";
import type { ConfigStore, EntityKind } from "../../common/storage/config-store.ts";
import { freshName } from "../../common/storage/contracts/config-store-samples.ts";
import { openSqliteConfigStore } from "../../common/storage/sqlite/config-store.ts";
import { requireServer } from "../../common/testing/servers.ts";
import { createTestKeyspace, type TestKeyspace } from "../../common/testing/test-keyspace.ts";
import { AppSchema, CreateAppRequestSchema, DeleteAppRequestSchema, UpdateAppRequestSchema } from "../../gen/nebula/v1/app_pb.ts";
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
import type { CallContext } from "../rpc/call-context.ts";
import { createHistoryServiceHandlers } from "../services/history-service.ts";
import type { AppInit } from "./app-calls.ts";
import { callOf, type EntityRig, startEntityRig } from "./entity-rig.ts";

export const ann = callOf("ann");

/** `docker_image: "a" -> "b"`; a default is `-`. */
export function texts(differences: readonly (MessageInitShape<typeof FieldDifferenceSchema> | FieldDifference)[] | undefined): string[] {
  return (differences ?? []).map((init) => {
    const { field, beforeJson = "-", afterJson = "-" } = create(FieldDifferenceSchema, init);
    return `${field}: ${beforeJson} -> ${afterJson}`;
  });
}

export function actionOf(action: number): string | undefined {
  return RevisionActionSchema.values.find(({ number }) => number === action)?.localName;
}

/** Calls about one app, cron_job or group over a store. */
export function callsOver(rig: EntityRig) {
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
export async function secretsOf({ store, deps }: EntityRig, name: string): Promise<Record<string, string>> {
  const stored = await store.get({ kind: "app", name });
  const { secretEnvVars } = fromBinary(AppSchema, stored?.body ?? assert.fail(`no app ${name}`));
  openSecretEnvVars(deps.secretKeys, { kind: "app", name }, secretEnvVars);
  return { ...secretEnvVars };
}

/** HistoryService over a store that a suite uses, and a name that each test has for itself. */
export type HistoryRig = Readonly<{
  store: ConfigStore;
  rig: EntityRig;
  calls: ReturnType<typeof callsOver>;
  web: string;
  /** The image of an app as it is stored. */
  imageOf(name: string): Promise<string>;
}>;

/** Defines tests of HistoryService on SQLite and on Cassandra. The contents of the rig exist when a test runs. */
export function describeHistory(title: string, define: (on: HistoryRig) => void): void {
  let keyspace: TestKeyspace | undefined;
  const drivers: Readonly<Record<string, (context: Mocha.Context) => Promise<ConfigStore>>> = {
    SQLite: () => openSqliteConfigStore({ path: ":memory:" }),
    async Cassandra(context) {
      keyspace = await createTestKeyspace(await requireServer(context, "cassandra"));
      return openCassandraConfigStore({ client: keyspace.client, clock: systemClock });
    },
  };
  for (const [driver, open] of Object.entries(drivers)) {
    describe(`${title} on ${driver}`, function () {
      this.timeout(60_000);
      const on = new Opened();
      before(async function () {
        await on.open(await open(this));
      });
      after(async () => {
        await on[Symbol.asyncDispose]();
        await keyspace?.[Symbol.asyncDispose]();
      });
      beforeEach(() => {
        on.web = freshName("web");
      });
      define(on);
    });
  }
}

class Opened implements HistoryRig, AsyncDisposable {
  web = "";
  #opened: Readonly<{ store: ConfigStore; rig: EntityRig; calls: ReturnType<typeof callsOver> }> | undefined;

  async open(store: ConfigStore): Promise<void> {
    const rig = await startEntityRig({ store });
    this.#opened = { store, rig, calls: callsOver(rig) };
  }

  get store() {
    return this.#require().store;
  }

  get rig() {
    return this.#require().rig;
  }

  get calls() {
    return this.#require().calls;
  }

  async imageOf(name: string): Promise<string> {
    const stored = await this.store.get({ kind: "app", name });
    return fromBinary(AppSchema, stored?.body ?? new Uint8Array()).dockerImage;
  }

  #require() {
    return this.#opened ?? assert.fail("the store is not open yet");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened?.rig[Symbol.asyncDispose]();
    await this.#opened?.store[Symbol.asyncDispose]();
  }
}
