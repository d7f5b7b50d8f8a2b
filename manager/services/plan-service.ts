import type { JsonValue, MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { StepKind, TargetStep } from "../../common/desired/device-steps.ts";
import { assertNever } from "../../common/errors/assert-never.ts";
import { invalidArgument } from "../../common/errors/nebula-error.ts";
import type { FieldChange } from "../../common/resources/field-changes.ts";
import type { EntityKind } from "../../common/storage/config-store.ts";
import { type Device, TargetKind } from "../../gen/nebula/v1/device_pb.ts";
import {
  DeviceStepKind,
  type PlannedChange,
  PlannedKind,
  type PlanResponseSchema,
  type PlanService,
  type RevisionReadSchema,
} from "../../gen/nebula/v1/plan_pb.ts";
import type { Need } from "../access/rights/method-table.ts";
import { isPermitted } from "../access/rights/permit.ts";
import { type Behind, MOST_NAMED, offlineSince } from "../insight/plan/group-tally.ts";
import { missingNameWarning } from "../insight/plan/plan-warnings.ts";
import { type ChangeDeps, type PlannedWrite, planDocument, planVerb } from "../insight/plan/planned-changes.ts";
import { type PlannedUserGroup, planUserGroup, planUserGroupDelete } from "../insight/plan/planned-user-group.ts";
import { type Consequences, consequencesOf, idOf, type PlanCall, type PlannerDeps } from "../insight/plan/planner.ts";
import type { ServiceHandlers } from "../rpc/call-context.ts";

export type PlanServiceDeps = PlannerDeps & ChangeDeps & Parameters<typeof planUserGroup>[0];

/** Changes of one plan. */
const MOST_CHANGES = 1000;
const MOST_GROUPS = 100;
const MOST_STEPS = 100;
const MOST_WARNINGS = 100;

type AnyWrite = PlannedWrite | PlannedUserGroup;

/** PlanService: the consequences of changes. */
export function createPlanServiceHandlers(deps: PlanServiceDeps): ServiceHandlers<typeof PlanService> {
  return {
    async plan({ changes }, { principal, signal }) {
      if (changes.length === 0 || changes.length > MOST_CHANGES) {
        throw invalidArgument([{ field: "changes", description: `there are ${changes.length}; give 1 to ${MOST_CHANGES}` }]);
      }
      const writes: AnyWrite[] = [];
      for (const [index, change] of changes.entries()) writes.push(await plannedWrite(deps, change, { principal, signal, at: `changes[${index}]` }));
      assertDifferent(writes);
      return planResponse(deps, writes, { principal, signal });
    },
  };
}

/** The plan of writes that were prepared, such as that of a rollback. */
export async function planResponse(
  deps: PlannerDeps,
  writes: readonly AnyWrite[],
  call: PlanCall,
): Promise<MessageInitShape<typeof PlanResponseSchema>> {
  const entities = writes.flatMap((write) => (write.kind === "user_group" ? [] : [write]));
  const consequences = await consequencesOf(deps, entities, call);
  const { groups, hiddenGroups, fleet, warnings } = consequences;
  const ofMembers = writes.flatMap((write) => (write.kind === "user_group" ? write.warnings.map(missingNameWarning) : []));
  const read = revisionsRead(writes, consequences);
  return {
    id: idOf(writes, read),
    changesAnything: writes.some(({ revisionBefore, revisionAfter }) => revisionBefore !== revisionAfter),
    entities: writes.map((write) => ({
      kind: KINDS[write.kind],
      name: write.name,
      revisionBefore: write.revisionBefore,
      revisionAfter: write.revisionAfter,
      existsBefore: write.before !== undefined,
      existsAfter: write.after !== undefined,
      differences: write.differences.map(differenceOf),
      mayWrite: isPermitted(call.principal, needOf(write), false),
    })),
    groups: groups.slice(0, MOST_GROUPS).map(({ name, revision, reach }) => ({ name, revision, reach })),
    groupCount: groups.length,
    hiddenGroups,
    reach: fleet.reach,
    steps: [...fleet.steps.values()]
      .sort((a, b) => b.devices - a.devices)
      .slice(0, MOST_STEPS)
      .map(({ step, containers, image, devices }) => ({ step: STEPS[step], containers, image, devices })),
    devices: fleet.named.map(({ device, steps }) => ({ ...placeOf(device), ...connectionOf(device), steps: steps.map(stepOf) })),
    behind: fleet.behind.slice(0, MOST_NAMED).map(behindOf),
    behindCount: fleet.behindCount,
    warnings: [...ofMembers, ...warnings].slice(0, MOST_WARNINGS).map((warning) => ({ ...warning })),
    read: [...read],
  };
}

function plannedWrite(deps: PlanServiceDeps, { change }: PlannedChange, asked: PlanCall & Readonly<{ at: string }>): Promise<AnyWrite> {
  switch (change.case) {
    case "app":
      return planDocument(deps, { kind: "app", app: change.value }, asked);
    case "cronJob":
      return planDocument(deps, { kind: "cron_job", cronJob: change.value }, asked);
    case "deviceGroup":
      return planDocument(deps, { kind: "device_group", deviceGroup: change.value }, asked);
    case "userGroup":
      return planUserGroup(deps, change.value, asked);
    case "action": {
      const kind = kindOf(change.value.kind, asked.at);
      return kind === "user_group" ? planUserGroupDelete(deps.accessStore, change.value, asked) : planVerb(deps, kind, change.value, asked);
    }
    case undefined:
      throw invalidArgument([{ field: asked.at, description: "holds no change; give an app, cron_job, device_group, user_group or action" }]);
    default:
      return assertNever(change);
  }
}

function kindOf(kind: PlannedKind, at: string): EntityKind | "user_group" {
  const found = KIND_NAMES.find((name) => KINDS[name] === kind);
  if (found === undefined) throw invalidArgument([{ field: `${at}.action.kind`, description: "is missing, or not known; use APP" }]);
  return found;
}

function assertDifferent(writes: readonly AnyWrite[]): void {
  const seen = new Set<string>();
  for (const [index, { kind, name }] of writes.entries()) {
    const key = `${kind} ${name}`;
    if (seen.has(key)) throw invalidArgument([{ field: `changes[${index}]`, description: `names ${key} again; give each once` }]);
    seen.add(key);
  }
}

/** The revisions that a plan was made from: of its entities, then of the other device_groups. */
function revisionsRead(writes: readonly AnyWrite[], { groups }: Consequences): MessageInitShape<typeof RevisionReadSchema>[] & ReadEntities {
  const own = new Set(writes.flatMap(({ kind, name }) => (kind === "device_group" ? [name] : [])));
  const others = groups.filter(({ name }) => !own.has(name)).map((group) => ({ ...group, kind: "device_group" as const }));
  return [...writes.map((write) => ({ ...write, revision: write.revisionBefore })), ...others].map(({ kind, name, revision, stored }) => ({
    kind: KINDS[kind],
    name,
    revision,
    changedBy: stored?.changedBy ?? "",
    ...(stored === undefined ? {} : { changedAt: timestampFromMs(stored.changedAt) }),
  }));
}

type ReadEntities = readonly Readonly<{ kind: PlannedKind; name: string; revision: bigint }>[];

/** The right that the write itself needs. */
function needOf({ kind, name }: AnyWrite): Need {
  return kind === "user_group" ? { kind: "admin" } : { kind: "write", entity: { kind, name } };
}

function differenceOf({ field, before, after }: FieldChange) {
  const json = (value: JsonValue | undefined) => (value === undefined ? undefined : JSON.stringify(value));
  const [beforeJson, afterJson] = [json(before), json(after)];
  return { field, ...(beforeJson === undefined ? {} : { beforeJson }), ...(afterJson === undefined ? {} : { afterJson }) };
}

function placeOf({ deviceId, deviceGroup }: Device) {
  return { deviceId, deviceGroup };
}

function connectionOf({ connection }: Device) {
  return connection === undefined ? {} : { connection };
}

function stepOf({ target, name, step, containers, image }: TargetStep) {
  return { kind: TARGETS[target], name, step: STEPS[step], containers, image };
}

function behindOf({ device, target, state, reason }: Behind) {
  const since = offlineSince(device);
  const at = since === undefined ? {} : { offlineSince: timestampFromMs(since) };
  return { ...placeOf(device), kind: TARGETS[target.kind], name: target.name, revision: target.revision, state, reason, ...at };
}

const KINDS = {
  app: PlannedKind.APP,
  cron_job: PlannedKind.CRON_JOB,
  device_group: PlannedKind.DEVICE_GROUP,
  user_group: PlannedKind.USER_GROUP,
} as const;
const KIND_NAMES = ["app", "cron_job", "device_group", "user_group"] as const;

const TARGETS = { app: TargetKind.APP, cron_job: TargetKind.CRON_JOB } as const;

const STEPS: Readonly<Record<StepKind, DeviceStepKind>> = {
  recreate: DeviceStepKind.RECREATE,
  start: DeviceStepKind.START,
  stop: DeviceStepKind.STOP,
  remove: DeviceStepKind.REMOVE,
  scale_up: DeviceStepKind.SCALE_UP,
  scale_down: DeviceStepKind.SCALE_DOWN,
  start_again: DeviceStepKind.START_AGAIN,
  wait_for_port: DeviceStepKind.WAIT_FOR_PORT,
  pull: DeviceStepKind.PULL,
  pull_if_missing: DeviceStepKind.PULL_IF_MISSING,
  schedule: DeviceStepKind.SCHEDULE,
};
