import type { JsonObject } from "@bufbuild/protobuf";
import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import { planName } from "../../../common/insight/plan-name.ts";
import { KIND_WORDS } from "../../../common/insight/text/plan-text.ts";
import { differencesJson } from "../../../common/resources/field-changes.ts";
import { jsonNumber } from "../../../common/resources/resource-fields.ts";
import { enumWord } from "../../../common/text/enum-words.ts";
import { ConnectionState, TargetKind } from "../../../gen/nebula/v1/device_pb.ts";
import {
  type DeviceReach,
  type DeviceStepKind,
  DeviceStepKindSchema,
  type PlannedEntity,
  type PlanResponse,
  PlanWarningCodeSchema,
} from "../../../gen/nebula/v1/plan_pb.ts";

const TARGET_WORDS: Readonly<Record<number, string>> = { [TargetKind.APP]: "app", [TargetKind.CRON_JOB]: "cron_job" };

/** A plan for programs: words in place of numbers of enums, values as resource files have them. */
export function planJson(plan: PlanResponse): JsonObject {
  const { changesAnything, entities, groups, groupCount, hiddenGroups, reach, steps, devices, behind, behindCount, warnings } = plan;
  return {
    plan: planName(plan),
    changes_anything: changesAnything,
    entities: entities.map(entityJson),
    reach: reachJson(reach),
    device_groups: groups.map((group) => ({ name: group.name, revision: jsonNumber(group.revision), reach: reachJson(group.reach) })),
    device_group_count: groupCount,
    hidden_device_groups: hiddenGroups,
    steps: steps.map(({ step, containers, image, devices: number }) => ({ step: stepWord(step), ...ofStep(containers, image), devices: number })),
    devices: devices.map(({ deviceId, deviceGroup, connection, steps: own }) => ({
      device_id: deviceId,
      device_group: deviceGroup,
      connection: CONNECTION_WORDS[connection?.state ?? 0] ?? "unknown",
      steps: own.map(({ kind, name, step, containers, image }) => ({
        kind: TARGET_WORDS[kind] ?? "",
        name,
        step: stepWord(step),
        ...ofStep(containers, image),
      })),
    })),
    behind_count: behindCount,
    behind: behind.map(({ deviceId, deviceGroup, kind, name, revision, state, reason, offlineSince }) => ({
      device_id: deviceId,
      device_group: deviceGroup,
      kind: TARGET_WORDS[kind] ?? "",
      name,
      revision: jsonNumber(revision),
      state,
      ...(reason === "" ? {} : { reason }),
      ...timeJson("offline_since", offlineSince),
    })),
    warnings: warnings.map(({ code, message, devices: number }) => ({
      code: enumWord(PlanWarningCodeSchema, code),
      message,
      ...(number === 0 ? {} : { devices: number }),
    })),
    read: plan.read.map(({ kind, name, revision, changedBy, changedAt }) => ({
      kind: KIND_WORDS[kind] ?? "",
      name,
      revision: jsonNumber(revision),
      ...(changedBy === "" ? {} : { changed_by: changedBy }),
      ...timeJson("changed_at", changedAt),
    })),
  };
}

const CONNECTION_WORDS: Readonly<Record<number, string>> = { [ConnectionState.ONLINE]: "online", [ConnectionState.OFFLINE]: "offline" };

function entityJson({ kind, name, revisionBefore, revisionAfter, existsBefore, existsAfter, differences }: PlannedEntity): JsonObject {
  const written = existsBefore ? (existsAfter ? "updated" : "deleted") : "created";
  return {
    kind: KIND_WORDS[kind] ?? "",
    name,
    result: revisionBefore === revisionAfter ? "unchanged" : written,
    revision_before: jsonNumber(revisionBefore),
    revision: jsonNumber(revisionAfter),
    changes: differencesJson(differences),
  };
}

function reachJson(reach: DeviceReach | undefined): JsonObject {
  const { devices = 0, connected = 0, offline = 0, neverCame = 0, unforeseen = 0, idle = 0 } = reach ?? {};
  return { devices, connected, offline, never_came: neverCame, unforeseen, idle };
}

function ofStep(containers: number, image: string): JsonObject {
  return { ...(containers === 0 ? {} : { containers }), ...(image === "" ? {} : { image }) };
}

function stepWord(step: DeviceStepKind): string {
  return enumWord(DeviceStepKindSchema, step);
}

function timeJson(name: string, time: Timestamp | undefined): JsonObject {
  return time === undefined ? {} : { [name]: timestampDate(time).toISOString() };
}
