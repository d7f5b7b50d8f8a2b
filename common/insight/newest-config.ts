import type { DeviceSummary, TargetKind } from "../../gen/nebula/v1/device_pb.ts";

/** A member of a device_group at its newest revision. */
export type NewestMember = Readonly<{
  kind: typeof TargetKind.APP | typeof TargetKind.CRON_JOB;
  name: string;
  /** 0n: the name was never used. */
  revision: bigint;
  /** Whether it was deleted: a device that has removed it reports nothing of it. */
  deleted: boolean;
}>;

/** The newest config of a device_group, by its revisions. */
export type NewestConfig = Readonly<{ groupRevision: bigint; members: readonly NewestMember[] }>;

/**
 * Whether a device has applied the newest config of its device_group: all of its revisions, or newer ones.
 * @param newest undefined: the group does not exist, and its devices keep what they run
 */
export function isAtNewest(summary: DeviceSummary | undefined, newest: NewestConfig | undefined): boolean {
  if (newest === undefined) return true;
  if (summary === undefined || summary.groupRevision < newest.groupRevision) return false;
  return newest.members.every(({ kind, name, revision, deleted }) => {
    const target = summary.targets.find((each) => each.kind === kind && each.name === name);
    return target === undefined ? deleted || revision === 0n : target.appliedRevision >= revision;
  });
}

/** Whether two newest configs are the same. */
export function isSameConfig(one: NewestConfig | undefined, other: NewestConfig | undefined): boolean {
  return textOf(one) === textOf(other);
}

function textOf(newest: NewestConfig | undefined): string {
  const members = newest?.members.map(({ kind, name, revision, deleted }) => [kind, name, String(revision), deleted]);
  return JSON.stringify([String(newest?.groupRevision), members]);
}
