/** The part of the API's answers that the view of a device_group shows. Pure. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { entityKindOf } from "../../../../../common/resources/target-kind.ts";
import { enumWord } from "../../../../../common/text/enum-words.ts";
import type { DeviceGroup } from "../../../../../gen/nebula/v1/device_group_pb.ts";
import type { GetOverviewResponse, GroupOverview } from "../../../../../gen/nebula/v1/fleet_pb.ts";
import { RevisionAction, RevisionActionSchema } from "../../../../../gen/nebula/v1/history_pb.ts";
import { targetText } from "../../addresses/devices-filter.ts";
import { entityAddress, groupAddress } from "../../addresses/entity-addresses.ts";
import { commandLine } from "../../parts/format.ts";
import { type StateCount, stateCounts } from "../overview/overview-model.ts";

export type MemberLine = Readonly<{
  kind: "app" | "cron_job";
  name: string;
  to: string | undefined;
  /** Its place in the device_group, from 1. */
  place: number;
  /** Of its newest change. 0: the caller may not read it, or it never was. */
  revision: bigint;
  /** `update`, `delete`, ... */
  action: string;
  isDeleted: boolean;
  by: string;
  at: number | undefined;
  /** The devices of the group by how far the newest revision is there. Undefined: they were not counted, for lack of room. */
  states: readonly StateCount[] | undefined;
}>;

/** The apps of a device_group in their order, then the cron_jobs in theirs. */
export function memberLines(
  { name: group, apps, cronJobs }: Pick<DeviceGroup, "name" | "apps" | "cronJobs">,
  overview: GroupOverview | undefined,
): readonly MemberLine[] {
  const members = [...apps.map((name) => ({ kind: "app" as const, name })), ...cronJobs.map((name) => ({ kind: "cron_job" as const, name }))];
  return members.map(({ kind, name }, index) => {
    const known = overview?.members.find(({ newest }) => newest !== undefined && entityKindOf(newest.kind) === kind && newest.name === name);
    const at = known?.newest?.change?.at;
    return {
      kind,
      name,
      to: entityAddress(kind, name),
      place: index + 1,
      revision: known?.newest?.revision ?? 0n,
      action: enumWord(RevisionActionSchema, known?.newest?.action ?? RevisionAction.UNSPECIFIED),
      isDeleted: known?.newest?.action === RevisionAction.DELETE,
      by: known?.newest?.change?.by ?? "",
      at: at === undefined ? undefined : timestampMs(at),
      states:
        overview?.uncounted === true
          ? undefined
          : stateCounts(known?.states, { target: targetText({ kind, name }) }, (filter) => groupAddress(group, filter)),
    };
  });
}

/** The device_group of an overview that was asked for one alone. */
export function overviewOf(name: string, { groups }: GetOverviewResponse): GroupOverview | undefined {
  return groups.find(({ deviceGroup }) => deviceGroup === name);
}

/** The line of nebulactl that deletes the device_group as it was planned. */
export function deleteLine(name: string, revision: bigint): string {
  return commandLine(["nebulactl", "device-groups", "delete", name, "--if-revision", String(revision)]);
}
