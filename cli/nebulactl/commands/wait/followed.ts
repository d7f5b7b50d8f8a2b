import type { Followed } from "../../../../common/insight/text/apply-text.ts";
import { entityOf, type Resource } from "../../../../common/resources/resource.ts";
import { targetKindOf } from "../../../../common/resources/target-kind.ts";
import { ApplyVerb } from "../../../../gen/nebula/v1/apply_pb.ts";
import type { DeviceGroup } from "../../../../gen/nebula/v1/device_group_pb.ts";
import { TargetKind } from "../../../../gen/nebula/v1/device_pb.ts";

export type WaitOptions = Readonly<{ settleMs: number; timeoutMs: number }>;

/**
 * Returns what devices are to follow after a write; nothing for a user_group. Where nothing differed that is the present revision: of a device_group all of its
 * members, since nobody knows which of them devices run already.
 * @param before undefined: it was created
 */
export function followedWrite(before: Resource | undefined, after: Resource): Followed[] {
  const { name, revision } = entityOf(after);
  const old = before === undefined ? {} : { before: entityOf(before).revision };
  switch (after.kind) {
    case "user_group":
      return [];
    case "app":
      return [{ kind: TargetKind.APP, name, revision, verb: after.app.running === false ? ApplyVerb.STOP : ApplyVerb.UPDATE, ...old }];
    case "cron_job":
      return [{ kind: TargetKind.CRON_JOB, name, revision, verb: ApplyVerb.UPDATE, ...old }];
    case "device_group": {
      const was = before?.kind === "device_group" && before.deviceGroup.revision !== revision ? membersOf(before.deviceGroup) : [];
      const is = membersOf(after.deviceGroup);
      const without = (members: readonly Member[], others: readonly Member[]) =>
        members.filter((member) => !others.some((other) => other.kind === member.kind && other.name === member.name));
      return [{ kind: TargetKind.DEVICE_GROUP, name, revision, verb: ApplyVerb.UPDATE, added: without(is, was), removed: without(was, is), ...old }];
    }
  }
}

/** Returns what devices are to follow after a delete. */
export function followedDelete(kind: Resource["kind"], name: string, revision: bigint): Followed[] {
  return kind === "user_group" ? [] : [{ kind: targetKindOf(kind), name, revision, verb: ApplyVerb.DELETE }];
}

type Member = Readonly<{ kind: TargetKind; name: string }>;

function membersOf({ apps, cronJobs }: DeviceGroup): Member[] {
  return [...apps.map((name) => ({ kind: TargetKind.APP, name })), ...cronJobs.map((name) => ({ kind: TargetKind.CRON_JOB, name }))];
}
