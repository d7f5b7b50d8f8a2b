import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { assertNever } from "../../../common/errors/assert-never.ts";
import { printableLine } from "../../../common/printable.ts";
import { describeChange, fieldChanges } from "../../../common/resources/field-changes.ts";
import { entityOf, type Resource } from "../../../common/resources/resource.ts";
import { jsonNumber, resourceJson } from "../../../common/resources/resource-fields.ts";
import { ageOf } from "../../../common/text/age.ts";
import { DEFAULTS } from "../../../common/validation/normal-form.ts";
import type { Change } from "../../../gen/nebula/v1/change_pb.ts";
import { fieldsText, jsonFields, type ValueView } from "../output/render-value.ts";

/**
 * A resource with its revision and counters, and the fields that v2 always shows. 64-bit numbers are numbers if JSON
 * holds them exactly.
 */
export function entityJson(resource: Resource): JsonObject {
  const { kind: _, name = "", ...fields } = resourceJson(resource);
  return { name, ...countersOf(resource), ...v2Defaults(resource), ...fields };
}

function countersOf(resource: Resource): JsonObject {
  switch (resource.kind) {
    case "app":
      return { revision: jsonNumber(resource.app.revision), restart_count: jsonNumber(resource.app.restartCount) };
    case "cron_job":
      return { revision: jsonNumber(resource.cronJob.revision) };
    case "device_group":
      return { revision: jsonNumber(resource.deviceGroup.revision), prune_id: jsonNumber(resource.deviceGroup.pruneId) };
    case "user_group":
      return { revision: jsonNumber(resource.userGroup.revision) };
    default:
      return assertNever(resource);
  }
}

function v2Defaults({ kind }: Resource): Record<string, JsonValue> {
  const container = {
    docker_image: "",
    running: DEFAULTS.running,
    env_vars: {},
    networks: ["nebula", "bridge"],
    volumes: [],
    devices: [],
    privileged: false,
  };
  switch (kind) {
    case "app":
      return { ...container, starting_ports: [], containers_per: { server: DEFAULTS.containers }, rolling_restart: false };
    case "cron_job":
      return { schedule: "", ...container };
    case "device_group":
      return { apps: [], cron_jobs: [] };
    case "user_group":
      return { group_members: [], apps: {}, cron_jobs: {}, device_groups: {}, pruning_allowed: false, admin: false };
    default:
      return assertNever(kind);
  }
}

/** One entity and its last change. @param now wall clock, milliseconds since 1970 */
export function infoText(resource: Resource, lastChange: Change | undefined, now: number): ValueView {
  const object = entityJson(resource);
  const changed = lastChange === undefined ? [] : [["last_change", `${ageOf(lastChange.at, now)} ago by ${lastChange.by}`] as const];
  return { text: fieldsText([...jsonFields(object), ...changed]), json: () => ({ ...object, ...changeJson(lastChange) }) };
}

function changeJson(change: Change | undefined): JsonObject {
  if (change === undefined) return {};
  return { last_change: { ...(change.at === undefined ? {} : { at: timestampDate(change.at).toISOString() }), by: change.by } };
}

/** `app web`. */
export function titleOf(resource: Resource): string {
  return `${resource.kind} ${entityOf(resource).name}`;
}

/**
 * The outcome of a write, as lines: `app web  updated 41 -> 42`, followed by the changed fields.
 * @param before undefined if it was created
 * @param width the least width of the title, characters
 */
export function writtenLines(before: Resource | undefined, after: Resource, width: number): string[] {
  const title = titleOf(after).padEnd(width);
  const revision = entityOf(after).revision;
  if (before === undefined) return [`${title}  created ${revision}\n`];
  const old = entityOf(before).revision;
  if (old === revision) return [`${title}  unchanged ${revision}\n`];
  const changes = fieldChanges(resourceJson(before), resourceJson(after));
  const fieldWidth = Math.max(0, ...changes.map(({ field }) => field.length));
  const lines = changes.flatMap((change) =>
    describeChange(change).map((line, index) => `    ${(index === 0 ? change.field : "").padEnd(fieldWidth)}  ${printableLine(line)}\n`),
  );
  return [`${title}  updated ${old} -> ${revision}\n`, ...lines];
}
