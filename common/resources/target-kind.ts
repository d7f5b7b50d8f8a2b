import { TargetKind } from "../../gen/nebula/v1/device_pb.ts";
import { assertNever } from "../errors/assert-never.ts";
import type { EntityKind } from "../storage/config-store.ts";

/** The kind of entity that a TargetKind names; undefined if it names none that this version knows. */
export function entityKindOf(kind: number): EntityKind | undefined {
  switch (kind) {
    case TargetKind.APP:
      return "app";
    case TargetKind.CRON_JOB:
      return "cron_job";
    case TargetKind.DEVICE_GROUP:
      return "device_group";
    default:
      return undefined;
  }
}

export function targetKindOf(kind: EntityKind): TargetKind {
  switch (kind) {
    case "app":
      return TargetKind.APP;
    case "cron_job":
      return TargetKind.CRON_JOB;
    case "device_group":
      return TargetKind.DEVICE_GROUP;
    default:
      return assertNever(kind);
  }
}
