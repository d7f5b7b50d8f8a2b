import type { JsonObject } from "@bufbuild/protobuf";
import { invalidArgument, NebulaError, type Violation } from "../../../common/errors/nebula-error.ts";
import { type FieldChange, fieldChanges } from "../../../common/resources/field-changes.ts";
import type { Resource } from "../../../common/resources/resource.ts";
import { resourceJson } from "../../../common/resources/resource-fields.ts";
import { isDisplay, looksSealed } from "../../../common/secrets/sealed-text.ts";
import { keepStored, maskSecretEnvVars, sealSecretEnvVars } from "../../../common/secrets/secret-env-vars.ts";
import type { SecretKeys } from "../../../common/secrets/secret-keys.ts";
import type { ConfigStore, EntityKind, StoredEntity } from "../../../common/storage/config-store.ts";
import { noSuch } from "../../../common/text/no-such.ts";
import { validateName } from "../../../common/validation/names.ts";
import type { App } from "../../../gen/nebula/v1/app_pb.ts";
import type { DeviceGroup } from "../../../gen/nebula/v1/device_group_pb.ts";
import { type PlannedAction, PlannedVerb } from "../../../gen/nebula/v1/plan_pb.ts";
import type { Principal } from "../../access/principal.ts";
import { assertPermitted } from "../../access/rights/permit.ts";
import { APP, CRON_JOB, DEVICE_GROUP, type Entity, type EntityType, sealedEntityOf } from "../../entities/entity-type.ts";
import { checkGiven, updatedViolations } from "../../entities/update-fields.ts";

/** A change of one app, cron_job or device_group, as its write would make it. */
export type PlannedWrite = Readonly<{
  kind: EntityKind;
  name: string;
  /** The newest revision, a tombstone included; undefined: the name was never used. */
  stored: StoredEntity | undefined;
  /** Masked, as reads show it; undefined: it does not exist. */
  before: Resource | undefined;
  /** Masked; undefined: it is deleted. */
  after: Resource | undefined;
  /** As it is stored after the write; a tombstone if it is deleted. */
  storedAfter: StoredEntity;
  /** Of the change, for the id of a plan: equal changes have equal bytes. No secret value is in it. */
  fingerprint: Uint8Array;
  revisionBefore: bigint;
  /** That of before, if nothing differs. */
  revisionAfter: bigint;
  differences: readonly FieldChange[];
}>;

export type ChangeDeps = Readonly<{ configStore: Pick<ConfigStore, "get">; secretKeys: SecretKeys }>;
type Asked = Readonly<{ principal: Principal; signal: AbortSignal; at: string }>;

/** Plans the create, or the replacement of every writable field, of what `apply` writes. Throws what its write would. */
export function planDocument(deps: ChangeDeps, resource: Exclude<Resource, { kind: "user_group" }>, asked: Asked): Promise<PlannedWrite> {
  switch (resource.kind) {
    case "app":
      return planWhole(deps, APP, resource.app, (app) => ({ kind: "app", app }), asked);
    case "cron_job":
      return planWhole(deps, CRON_JOB, resource.cronJob, (cronJob) => ({ kind: "cron_job", cronJob }), asked);
    default:
      return planWhole(deps, DEVICE_GROUP, resource.deviceGroup, (deviceGroup) => ({ kind: "device_group", deviceGroup }), asked);
  }
}

/** Plans a verb. Throws `not_found` where there is nothing of that name. */
export function planVerb(deps: ChangeDeps, kind: EntityKind, { name, verb }: PlannedAction, asked: Asked): Promise<PlannedWrite> {
  switch (kind) {
    case "app":
      return planAct(deps, APP, name, verb, (app) => ({ kind: "app", app }), actOnApp(verb), asked);
    case "cron_job":
      return planAct(deps, CRON_JOB, name, verb, (cronJob) => ({ kind: "cron_job", cronJob }), undefined, asked);
    default:
      return planAct(deps, DEVICE_GROUP, name, verb, (deviceGroup) => ({ kind: "device_group", deviceGroup }), undefined, asked);
  }
}

function actOnApp(verb: PlannedVerb): ((app: App) => void) | undefined {
  switch (verb) {
    case PlannedVerb.START:
      return (app) => {
        app.running = true;
      };
    case PlannedVerb.STOP:
      return (app) => {
        app.running = false;
      };
    case PlannedVerb.RESTART:
      return (app) => {
        if (app.running === false) throw new NebulaError("failed_precondition", `app ${app.name} is not running: start it`);
        app.restartCount += 1n;
      };
    default:
      return undefined;
  }
}

async function planWhole<E extends Entity>(
  deps: ChangeDeps,
  type: EntityType<E>,
  message: E,
  resourceOf: (entity: E) => Resource,
  { principal, signal, at }: Asked,
): Promise<PlannedWrite> {
  const given = checkGiven(type.kind, message, type.unknownFields);
  assertNone(validateName(given.name), at);
  assertPermitted(principal, { kind: "read", entity: { kind: type.kind, name: given.name } }, false);
  assertMayGiveSecrets(type, given, principal);
  const { stored, entity } = await read(deps, type, given.name, signal);
  const changed = entity === undefined ? created(type, given, stored) : updated(type, entity, given);
  const secrets = type.secrets(changed);
  const unknown = secrets === undefined ? [] : keepStored(deps.secretKeys, secrets.owner, secrets.values, secretsOf(type, entity));
  const isSame = entity !== undefined && type.isSame(entity, changed);
  assertNone([...unknown, ...(isSame ? [] : updatedViolations(changed, type.validate, type.unknownFields))], at);
  return writeOf(deps, type, { stored, before: entity, after: changed, isWritten: !isSame, verb: PlannedVerb.UNSPECIFIED }, resourceOf);
}

async function planAct<E extends Entity>(
  deps: ChangeDeps,
  type: EntityType<E>,
  name: string,
  verb: PlannedVerb,
  resourceOf: (entity: E) => Resource,
  act: ((entity: E) => void) | undefined,
  { principal, signal, at }: Asked,
): Promise<PlannedWrite> {
  assertNone(validateName(name), at);
  assertPermitted(principal, { kind: "read", entity: { kind: type.kind, name } }, false);
  if (verb !== PlannedVerb.DELETE && act === undefined) {
    throw invalidArgument([
      { field: `${at}.action.verb`, description: `is not a verb of a ${type.kind}; use DELETE, or of an app START, STOP or RESTART` },
    ]);
  }
  const { stored, entity } = await read(deps, type, name, signal);
  if (entity === undefined) throw noSuch(type.kind, name);
  const after = verb === PlannedVerb.DELETE ? undefined : type.normalise(entity);
  if (after !== undefined) act?.(after);
  return writeOf(deps, type, { stored, before: entity, after, isWritten: true, verb }, resourceOf);
}

async function read<E extends Entity>({ configStore }: ChangeDeps, type: EntityType<E>, name: string, signal: AbortSignal) {
  const stored = await configStore.get({ kind: type.kind, name }, { signal });
  return { stored, entity: stored === undefined || stored.deleted ? undefined : sealedEntityOf(type, stored) };
}

function created<E extends Entity>(type: EntityType<E>, given: E, tombstone: StoredEntity | undefined): E {
  const entity = type.normalise(given);
  type.carryOver(tombstone === undefined ? undefined : type.decode(tombstone), entity);
  return entity;
}

function updated<E extends Entity>(type: EntityType<E>, stored: E, given: E): E {
  const update = type.update(stored, given, ["*"]);
  if (update.kind === "invalid") throw invalidArgument(update.violations);
  return type.normalise(update.message);
}

/** A caller that may only read could try out secret values by what a plan calls unchanged. */
function assertMayGiveSecrets<E extends Entity>(type: EntityType<E>, given: E, principal: Principal): void {
  const values = Object.values(type.secrets(given)?.values ?? {});
  if (values.every(isDisplay)) return;
  assertPermitted(principal, { kind: "write", entity: { kind: type.kind, name: given.name } }, false);
}

function secretsOf<E extends Entity>(type: EntityType<E>, entity: E | undefined): Readonly<Record<string, string>> {
  return entity === undefined ? {} : (type.secrets(entity)?.values ?? {});
}

type Steps<E> = Readonly<{ stored: StoredEntity | undefined; before: E | undefined; after: E | undefined; isWritten: boolean; verb: PlannedVerb }>;

function writeOf<E extends Entity>(
  { secretKeys }: ChangeDeps,
  type: EntityType<E>,
  { stored, before, after, isWritten, verb }: Steps<E>,
  resourceOf: (entity: E) => Resource,
): PlannedWrite {
  const revisionBefore = stored?.revision ?? 0n;
  const revisionAfter = isWritten ? revisionBefore + 1n : revisionBefore;
  const shownBefore = before && masked(type, before);
  if (after !== undefined) after.revision = revisionAfter;
  const sealed = after && type.normalise(after);
  const secrets = sealed && type.secrets(sealed);
  if (secrets !== undefined) sealSecretEnvVars(secretKeys, secrets.owner, secrets.values);
  const shownAfter = sealed && masked(type, sealed);
  const name = (after ?? before)?.name ?? "";
  return {
    kind: type.kind,
    name,
    stored,
    storedAfter: {
      kind: type.kind,
      name,
      revision: revisionAfter,
      deleted: sealed === undefined,
      body: sealed === undefined ? (stored?.body ?? new Uint8Array()) : type.encode(sealed),
      action: sealed === undefined ? "delete" : "update",
      changedAt: stored?.changedAt ?? 0,
      changedBy: stored?.changedBy ?? "",
    },
    fingerprint: Buffer.from(JSON.stringify([verb, jsonOf(shownAfter, resourceOf)])),
    before: shownBefore && resourceOf(shownBefore),
    after: shownAfter && resourceOf(shownAfter),
    revisionBefore,
    revisionAfter,
    differences: after === undefined ? [] : differencesOf(jsonOf(shownBefore, resourceOf), jsonOf(withGivenHidden(type, after), resourceOf)),
  };
}

function differencesOf(before: JsonObject, after: JsonObject): FieldChange[] {
  return fieldChanges(before, after).filter(({ field }) => field !== "kind" && field !== "name");
}

function jsonOf<E extends Entity>(entity: E | undefined, resourceOf: (entity: E) => Resource) {
  return entity === undefined ? {} : resourceJson(resourceOf(entity));
}

function masked<E extends Entity>(type: EntityType<E>, entity: E): E {
  const copy = type.normalise(entity);
  maskSecretEnvVars(type.secrets(copy)?.values ?? {});
  return copy;
}

/** As differences show it: a kept secret value by its display, a given one as such. */
function withGivenHidden<E extends Entity>(type: EntityType<E>, entity: E): E {
  const copy = type.normalise(entity);
  const values = type.secrets(copy)?.values ?? {};
  const kept = Object.fromEntries(Object.entries(values).filter(([, value]) => looksSealed(value)));
  maskSecretEnvVars(kept);
  Object.assign(values, kept);
  return copy;
}

function assertNone(violations: readonly Violation[], at: string): void {
  if (violations.length > 0) throw invalidArgument(violations.map(({ field, description }) => ({ field: `${at}.${field}`, description })));
}

/** The members that a resource names, or none. */
export function membersOf(resource: Resource | undefined): Pick<DeviceGroup, "apps" | "cronJobs"> {
  return resource?.kind === "device_group" ? resource.deviceGroup : { apps: [], cronJobs: [] };
}
