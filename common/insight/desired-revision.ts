import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import { type ChangedFieldSchema, type DesiredRevision, DesiredRevisionSchema } from "../../gen/nebula/v1/explain_pb.ts";
import { describeChange, fieldChanges } from "../resources/field-changes.ts";
import type { Resource } from "../resources/resource.ts";
import { resourceJson } from "../resources/resource-fields.ts";
import { maskSecretEnvVars } from "../secrets/secret-env-vars.ts";
import type { StoredEntity } from "../storage/config-store.ts";

/** The newest revision of an entity, and what advice about it may name. */
export type DesiredEntity = Readonly<{
  revision: DesiredRevision;
  /** Empty: of a device_group. */
  image: string;
  /** The port inside the containers of an app, where there is only one. */
  containerPort: number | undefined;
}>;

const MOST_FIELDS = 20;
const MOST_LINES = 10;
/** Characters. */
const LONGEST_LINE = 200;

/**
 * The newest revision with the fields that it changed. Secret values are shown as reads show them.
 * @param previous the revision before; undefined: there was none, or it is not kept
 */
export function desiredEntity(stored: StoredEntity, previous: StoredEntity | undefined): DesiredEntity {
  const resource = resourceOf(stored);
  const before = previous === undefined || previous.deleted || stored.deleted ? undefined : resourceOf(previous);
  const changed = before === undefined ? [] : fieldChanges(resourceJson(before), resourceJson(resource)).map(changedField);
  const revision = create(DesiredRevisionSchema, {
    revision: stored.revision,
    deleted: stored.deleted,
    running: isRunning(resource),
    lastChange: { at: timestampFromMs(stored.changedAt), by: stored.changedBy },
    action: stored.action,
    fromRevision: previous?.revision ?? 0n,
    changes: changed.slice(0, MOST_FIELDS),
    moreChanges: Math.max(0, changed.length - MOST_FIELDS),
  });
  return { revision, image: imageOf(resource), containerPort: onlyPort(resource) };
}

function changedField(change: Parameters<typeof describeChange>[0]): MessageInitShape<typeof ChangedFieldSchema> {
  return { field: change.field, lines: describeChange(change).slice(0, MOST_LINES).map(cut) };
}

function cut(line: string): string {
  return line.length <= LONGEST_LINE ? line : `${line.slice(0, LONGEST_LINE - 1).replace(/[\ud800-\udbff]$/, "")}…`;
}

function resourceOf({ kind, body }: StoredEntity): Resource {
  switch (kind) {
    case "app": {
      const app = fromBinary(AppSchema, body);
      maskSecretEnvVars(app.secretEnvVars);
      return { kind, app };
    }
    case "cron_job": {
      const cronJob = fromBinary(CronJobSchema, body);
      maskSecretEnvVars(cronJob.secretEnvVars);
      return { kind, cronJob };
    }
    case "device_group":
      return { kind, deviceGroup: fromBinary(DeviceGroupSchema, body) };
  }
}

function isRunning(resource: Resource): boolean {
  if (resource.kind === "app") return resource.app.running !== false;
  return resource.kind === "cron_job" && resource.cronJob.running !== false;
}

function imageOf(resource: Resource): string {
  if (resource.kind === "app") return resource.app.dockerImage;
  return resource.kind === "cron_job" ? resource.cronJob.dockerImage : "";
}

function onlyPort(resource: Resource): number | undefined {
  const ports = resource.kind === "app" ? resource.app.startingPorts : [];
  return ports.length === 1 ? ports[0]?.containerPort : undefined;
}
