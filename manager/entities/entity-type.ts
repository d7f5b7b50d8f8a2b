import { createRegistry, type DescMessage, equals, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { encodeCanonical } from "../../common/config/canonical-encoding.ts";
import { messageOf, NebulaError, type Violation } from "../../common/errors/nebula-error.ts";
import { maskSecretEnvVars, type SecretEnvVars, type SecretOwner } from "../../common/secrets/secret-env-vars.ts";
import type { EntityKind, GroupMembers, StoredEntity } from "../../common/storage/config-store.ts";
import { validateWrittenApp } from "../../common/validation/app.ts";
import { validateWrittenCronJob } from "../../common/validation/cron-job.ts";
import { validateDeviceGroup } from "../../common/validation/device-group.ts";
import { unknownFieldPaths } from "../../common/validation/message-shape.ts";
import { normaliseApp, normaliseCronJob, normaliseDeviceGroup, OUTPUT_ONLY } from "../../common/validation/normal-form.ts";
import { type App, AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { type CronJob, CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import { type DeviceGroup, DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import { type FieldUpdate, updateFields } from "./update-fields.ts";

export type Entity = App | CronJob | DeviceGroup;

/** The operations on one kind of entities, by which the three kinds differ. Messages that it returns are copies, in normal form. */
export type EntityType<E extends Entity> = Readonly<{
  kind: EntityKind;
  /** Throws `internal` if the body is damaged. */
  decode(stored: StoredEntity): E;
  /** Equal entities have equal bytes. */
  encode(entity: E): Uint8Array;
  /** Compares all fields, also those that this version does not know. */
  isSame(one: E, other: E): boolean;
  normalise(entity: E): E;
  validate(entity: E): Violation[];
  /** Paths of the fields that this version does not know. */
  unknownFields(entity: E): string[];
  update(stored: E, given: E, fields: readonly string[]): FieldUpdate<E>;
  /** Sets the fields that only the server writes to those of the tombstone, or, without one, to their start values. */
  carryOver(tombstone: E | undefined, created: E): void;
  /** Of a device_group: its members. */
  members(entity: E): GroupMembers | undefined;
  /** Of an app or a cron_job: its secret_env_vars, not a copy. Stored ones are sealed. */
  secrets(entity: E): Secrets | undefined;
}>;

export type Secrets = Readonly<{ owner: SecretOwner; values: SecretEnvVars }>;

export const APP: EntityType<App> = {
  ...basics("app", AppSchema, normaliseApp),
  validate: validateWrittenApp,
  carryOver: (tombstone, created) => {
    created.restartCount = tombstone?.restartCount ?? 0n;
  },
  members: () => undefined,
  secrets: ({ name, secretEnvVars }) => ({ owner: { kind: "app", name }, values: secretEnvVars }),
};

export const CRON_JOB: EntityType<CronJob> = {
  ...basics("cron_job", CronJobSchema, normaliseCronJob),
  validate: validateWrittenCronJob,
  carryOver: () => {},
  members: () => undefined,
  secrets: ({ name, secretEnvVars }) => ({ owner: { kind: "cron_job", name }, values: secretEnvVars }),
};

export const DEVICE_GROUP: EntityType<DeviceGroup> = {
  ...basics("device_group", DeviceGroupSchema, normaliseDeviceGroup),
  validate: validateDeviceGroup,
  carryOver: (tombstone, created) => {
    created.pruneId = tombstone?.pruneId ?? 1n;
  },
  members: ({ apps, cronJobs }) => ({ apps, cronJobs }),
  secrets: () => undefined,
};

/** Decodes a stored entity as it is answered: with masks in place of its secret values. */
export function entityOf<E extends Entity>(type: EntityType<E>, stored: StoredEntity): E {
  const entity = sealedEntityOf(type, stored);
  maskSecretEnvVars(type.secrets(entity)?.values ?? {});
  return entity;
}

/** Decodes a stored entity as a change is made from it: with its secret values as they are stored, sealed. */
export function sealedEntityOf<E extends Entity>(type: EntityType<E>, stored: StoredEntity): E {
  const entity = type.decode(stored);
  entity.revision = stored.revision;
  return entity;
}

/** Unknown fields are compared, too. There are no extensions. */
const COMPARE_ALL = { unknown: true, registry: createRegistry() };

function basics<Desc extends DescMessage>(kind: EntityKind, schema: Desc, normalise: (entity: MessageShape<Desc>) => MessageShape<Desc>) {
  return {
    kind,
    normalise,
    decode(stored: StoredEntity): MessageShape<Desc> {
      try {
        return normalise(fromBinary(schema, stored.body));
      } catch (error) {
        throw new NebulaError("internal", `the body of ${kind} ${stored.name} in the store can't be read: ${messageOf(error)}`, { cause: error });
      }
    },
    encode: (entity: MessageShape<Desc>) => encodeCanonical(schema, entity),
    isSame: (one: MessageShape<Desc>, other: MessageShape<Desc>) => equals(schema, one, other, COMPARE_ALL),
    unknownFields: (entity: MessageShape<Desc>) => unknownFieldPaths(schema, entity),
    update: (stored: MessageShape<Desc>, given: MessageShape<Desc>, fields: readonly string[]) =>
      updateFields(schema, OUTPUT_ONLY[kind], stored, given, fields),
  };
}
