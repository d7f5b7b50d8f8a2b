import { timestampMs } from "@bufbuild/protobuf/wkt";
import { assertNoViolations, invalidArgument } from "../../common/errors/nebula-error.ts";
import type { Resource } from "../../common/resources/resource.ts";
import { entityKindOf, targetKindOf } from "../../common/resources/target-kind.ts";
import type { AccessStore, AuditFilter } from "../../common/storage/access-store.ts";
import { ENTITY_KINDS, type EntityKey, type EntityKind, MAX_REVISION } from "../../common/storage/config-store.ts";
import { decodeTextPosition, encodePosition, refusedPosition } from "../../common/storage/page.ts";
import { timestampViolations } from "../../common/validation/device-requests.ts";
import { pageOf, validatePage } from "../../common/validation/list-request.ts";
import { validateName } from "../../common/validation/names.ts";
import { appWarnings } from "../../common/validation/ports.ts";
import type { AuditEntry } from "../../gen/nebula/v1/audit_pb.ts";
import { TargetKind } from "../../gen/nebula/v1/device_pb.ts";
import type { HistoryService, ListChangesRequest, RollbackRequest } from "../../gen/nebula/v1/history_pb.ts";
import { assertPermitted } from "../access/rights/permit.ts";
import { readableBy } from "../access/rights/visible-pages.ts";
import { APP, CRON_JOB, DEVICE_GROUP, type Entity } from "../entities/entity-type.ts";
import { assertMembersExist } from "../entities/group-members.ts";
import { warningsOfGroup, warningsOfMember } from "../entities/group-warnings.ts";
import { warningsOfName } from "../entities/name-warnings.ts";
import { bodyOf, fieldDifferences, readRevision, readRevisions } from "../entities/revisions.ts";
import { type RolledBack, rollBackEntity } from "../entities/rollback-entity.ts";
import { type EntityDeps, EntityWriter } from "../entities/write-entity.ts";
import type { CallContext, ServiceHandlers } from "../rpc/call-context.ts";

export type HistoryServiceDeps = EntityDeps & Readonly<{ accessStore: Pick<AccessStore, "listAudit"> }>;

/** The list in page tokens of ListRevisions. */
const REVISIONS = "revisions";

/** HistoryService: older revisions of apps, cron_jobs and device_groups, and the way back to one. */
export function createHistoryServiceHandlers(deps: HistoryServiceDeps): ServiceHandlers<typeof HistoryService> {
  const { configStore, accessStore, visiblePages } = deps;
  const writers = {
    app: new EntityWriter(APP, deps),
    cron_job: new EntityWriter(CRON_JOB, deps),
    device_group: new EntityWriter(DEVICE_GROUP, deps),
  };

  /** Rolls one entity back; `warn` answers what is to be said about it then. */
  async function rollBack<E extends Entity>(
    writer: EntityWriter<E>,
    request: RollbackRequest,
    context: CallContext,
    { toResource, warn, check }: Readonly<{ toResource: (entity: E) => Resource; warn: Warn<E>; check?: Check<E> }>,
  ) {
    const { name, to, ifRevision, secrets, dryRun } = request;
    const checked = check === undefined ? {} : { check: (next: E, before: E | undefined) => check(next, before, context) };
    const done = await rollBackEntity(writer, { name, to, ifRevision, secrets, dryRun, ...checked }, context);
    const key = { kind: writer.type.kind, name };
    const inOtherCase = done.before === undefined && !dryRun ? await warningsOfName(deps, key, context.principal) : [];
    return answerOf(done, toResource, [...(await warn(done.after, context, dryRun)), ...inOtherCase]);
  }

  return {
    async listRevisions(request, { signal }) {
      assertNoViolations(validatePage(request));
      const { after, limit } = pageOf(request);
      const { revisions, next } = await readRevisions(configStore, keyOf(request), { before: decodeBefore(after), limit }, signal);
      return { revisions, nextPageToken: next === undefined ? "" : encodePosition(REVISIONS, [String(next)]) };
    },

    async getRevision(request, { signal }) {
      const { revision, compareWith } = request;
      return { revision: await readRevision(configStore, keyOf(request), { revision, compareWith }, signal) };
    },

    rollback(request, context) {
      const { kind } = keyOf(request);
      switch (kind) {
        case "app":
          return rollBack(writers.app, request, context, {
            toResource: (app) => ({ kind: "app", app }),
            warn: async (app, { principal }, dryRun) => [
              ...appWarnings(app),
              ...(dryRun ? [] : await warningsOfMember(deps, { kind: "app", name: app.name }, principal)),
            ],
          });
        case "cron_job":
          return rollBack(writers.cron_job, request, context, {
            toResource: (cronJob) => ({ kind: "cron_job", cronJob }),
            warn: async ({ name }, { principal }, dryRun) => (dryRun ? [] : warningsOfMember(deps, { kind: "cron_job", name }, principal)),
          });
        case "device_group":
          return rollBack(writers.device_group, request, context, {
            toResource: (deviceGroup) => ({ kind: "device_group", deviceGroup }),
            warn: async ({ name }, _, dryRun) => (dryRun ? [] : warningsOfGroup(deps, name)),
            check: (next, before, caller) => assertMembersExist(configStore, next, before, caller),
          });
      }
    },

    async listChanges(request, { principal, signal }) {
      const { name, fromTime, untilTime } = request;
      const kind = entityKindOf(request.kind);
      assertNoViolations([
        ...validatePage(request),
        ...(kind === undefined && request.kind !== TargetKind.UNSPECIFIED ? [unknownKind(request.kind)] : []),
        ...(name === "" ? [] : validateName(name)),
        ...timestampViolations(fromTime, "from_time"),
        ...timestampViolations(untilTime, "until_time"),
      ]);
      if (kind !== undefined && name !== "") assertPermitted(principal, { kind: "read", entity: { kind, name } }, false);
      const readable = {
        app: readableBy<AuditEntry>(principal, "app", (entry) => entry.name),
        cron_job: readableBy<AuditEntry>(principal, "cron_job", (entry) => entry.name),
        device_group: readableBy<AuditEntry>(principal, "device_group", (entry) => entry.name),
      };
      const isVisible = (entry: AuditEntry) => {
        const changed = kindOfEntry(entry);
        return changed !== undefined && isChange(entry) && (readable[changed]?.(entry) ?? true);
      };
      const filter = changesFilter(request, kind);
      const { items, next } = await visiblePages((part) => accessStore.listAudit(filter, part, signal), pageOf(request), isVisible);
      return { changes: items.map(changeOf), nextPageToken: next ?? "" };
    },
  };
}

type Warn<E> = (entity: E, context: CallContext, dryRun: boolean) => Promise<string[]>;
type Check<E> = (next: E, before: E | undefined, context: CallContext) => Promise<void>;

function answerOf<E extends Entity>(
  { before, after, revisionBefore, to, keptSecrets }: RolledBack<E>,
  toResource: (entity: E) => Resource,
  warnings: string[],
) {
  const differences = fieldDifferences(before === undefined ? undefined : toResource(before), toResource(after));
  const { revision } = after;
  const restored = before === undefined;
  return { revisionBefore, revision, to, body: bodyOf(toResource(after)), differences, keptSecrets: [...keptSecrets], restored, warnings };
}

/** The entity that a request names. Throws `invalid_argument`. */
function keyOf(request: Readonly<{ kind: TargetKind; name: string }>): EntityKey {
  const kind = entityKindOf(request.kind);
  const named = validateName(request.name);
  if (kind === undefined) throw invalidArgument([unknownKind(request.kind), ...named]);
  assertNoViolations(named);
  return { kind, name: request.name };
}

function unknownKind(kind: TargetKind) {
  return { field: "kind", description: `invalid kind "${kind}": use TARGET_KIND_APP, TARGET_KIND_CRON_JOB or TARGET_KIND_DEVICE_GROUP` };
}

function decodeBefore(token: string | undefined): bigint | undefined {
  if (token === undefined) return undefined;
  const text = decodeTextPosition(REVISIONS, token);
  const before = /^[1-9]\d{0,18}$/.test(text) ? BigInt(text) : 0n;
  if (before === 0n || before > MAX_REVISION) throw refusedPosition(token);
  return before;
}

// --- changes, from the audit log

function changesFilter({ name, fromTime, untilTime }: ListChangesRequest, kind: EntityKind | undefined): AuditFilter {
  return {
    outcome: "OK",
    ...(kind === undefined ? {} : { kind }),
    ...(name === "" ? {} : { name }),
    ...(fromTime === undefined ? {} : { fromMs: timestampMs(fromTime) }),
    ...(untilTime === undefined ? {} : { untilMs: timestampMs(untilTime) }),
  };
}

/** The kind of entity that an entry of the audit log is about; undefined if it is about none. */
export function kindOfEntry({ kind }: Pick<AuditEntry, "kind">): EntityKind | undefined {
  return ENTITY_KINDS.find((each) => each === kind);
}

/** Whether an entry of the audit log is about a new revision of an entity. */
export function isChange(entry: Pick<AuditEntry, "kind" | "revisionBefore" | "revisionAfter">): boolean {
  return kindOfEntry(entry) !== undefined && entry.revisionBefore !== entry.revisionAfter;
}

/** An entry of the audit log as a change of an entity. */
export function changeOf(entry: AuditEntry) {
  const { name, at, who: by, revisionBefore, revisionAfter, detail } = entry;
  const kind = kindOfEntry(entry);
  const change = { by, ...(at === undefined ? {} : { at }) };
  return { kind: kind === undefined ? TargetKind.UNSPECIFIED : targetKindOf(kind), name, change, revisionBefore, revisionAfter, detail };
}
