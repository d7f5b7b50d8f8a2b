import { fromBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Violation } from "../../../common/errors/nebula-error.ts";
import type { Member, Target } from "../../../common/insight/device-state.ts";
import { mapLimited } from "../../../common/map-limited.ts";
import { type ConfigStore, type EntityKey, type EntityKind, keyText } from "../../../common/storage/config-store.ts";
import { noSuch } from "../../../common/text/no-such.ts";
import { MOST_MEMBERS, validateName } from "../../../common/validation/names.ts";
import { AppSchema } from "../../../gen/nebula/v1/app_pb.ts";
import { type ApplyMember, type ApplyTarget, ApplyVerb, type SupersededTarget, type WatchApplyRequest } from "../../../gen/nebula/v1/apply_pb.ts";
import { DeviceGroupSchema } from "../../../gen/nebula/v1/device_group_pb.ts";
import { TargetKind } from "../../../gen/nebula/v1/device_pb.ts";

export type TargetStore = Pick<ConfigStore, "get" | "groupsNaming" | "revisions">;

const MOST_TARGETS = 1000;
const LONGEST_SETTLE_MS = 3_600_000;
const LONGEST_TIMEOUT_MS = 7 * 86_400_000;
/** Reads of the store at once. */
const AT_ONCE = 8;

/** Checks a request to follow a change. */
export function validateWatchApply({ targets, settleMs = 0, timeoutMs = 0 }: WatchApplyRequest): Violation[] {
  const violations = targets.slice(0, MOST_TARGETS).flatMap(targetViolations);
  if (targets.length === 0 || targets.length > MOST_TARGETS)
    violations.push({ field: "targets", description: `has ${targets.length} entries; use 1 to ${MOST_TARGETS}` });
  if (settleMs > LONGEST_SETTLE_MS)
    violations.push({ field: "settle_ms", description: `${settleMs} is too long; use 0 to ${LONGEST_SETTLE_MS} (an hour)` });
  if (timeoutMs > LONGEST_TIMEOUT_MS)
    violations.push({ field: "timeout_ms", description: `${timeoutMs} is too long; use 0 to ${LONGEST_TIMEOUT_MS} (7 days)` });
  return violations;
}

/** The verbs of each kind. */
const VERBS: ReadonlyMap<TargetKind, readonly ApplyVerb[]> = new Map([
  [TargetKind.APP, [ApplyVerb.UNSPECIFIED, ApplyVerb.UPDATE, ApplyVerb.DELETE, ApplyVerb.STOP]],
  [TargetKind.CRON_JOB, [ApplyVerb.UNSPECIFIED, ApplyVerb.UPDATE, ApplyVerb.DELETE]],
  [TargetKind.DEVICE_GROUP, [ApplyVerb.UNSPECIFIED, ApplyVerb.UPDATE, ApplyVerb.DELETE, ApplyVerb.PRUNE]],
]);

function targetViolations({ kind, name, verb, added, removed }: ApplyTarget, index: number): Violation[] {
  const field = `targets[${index}]`;
  const violations = [...validateName(name, `${field}.name`)];
  const verbs = VERBS.get(kind);
  if (verbs === undefined)
    violations.push({ field: `${field}.kind`, description: `${kind} is not a valid kind; use TARGET_KIND_APP, _CRON_JOB or _DEVICE_GROUP` });
  else if (!verbs.includes(verb)) violations.push({ field: `${field}.verb`, description: `${verb} is not done to this kind; use APPLY_VERB_UPDATE` });
  for (const [list, members] of Object.entries({ added, removed })) {
    if (members.length > 2 * MOST_MEMBERS)
      violations.push({ field: `${field}.${list}`, description: `has ${members.length} entries; use at most ${2 * MOST_MEMBERS}` });
    const wrong = members.findIndex((member) => memberOf(member).length === 0);
    if (wrong >= 0)
      violations.push({ field: `${field}.${list}[${wrong}].kind`, description: "is not a valid kind; use TARGET_KIND_APP or TARGET_KIND_CRON_JOB" });
  }
  return violations;
}

export function keyOf({ kind, name }: Readonly<{ kind: TargetKind; name: string }>): EntityKey {
  return { kind: KINDS.get(kind) ?? "app", name };
}

const KINDS: ReadonlyMap<TargetKind, EntityKind> = new Map([
  [TargetKind.APP, "app"],
  [TargetKind.CRON_JOB, "cron_job"],
  [TargetKind.DEVICE_GROUP, "device_group"],
]);

/** Returns the targets of a valid request, a revision of 0 as the newest one. Rejects with `not_found` for a name that was never used. */
export async function resolveTargets(store: TargetStore, targets: readonly ApplyTarget[], signal: AbortSignal): Promise<readonly Target[]> {
  const stored = await store.revisions(targets.map(keyOf), signal);
  const unknown = targets.find((_, index) => stored[index] === 0n);
  if (unknown !== undefined) throw noSuch(keyOf(unknown).kind, unknown.name);
  return mapLimited(targets, AT_ONCE, (target) => (target.revision === 0n ? newest(store, target, signal) : Promise.resolve(asGiven(target))));
}

function asGiven(target: ApplyTarget): Target {
  const { name, revision, verb, pruneId } = target;
  const deletedOr = verb === ApplyVerb.DELETE ? "delete" : "update";
  if (target.kind === TargetKind.DEVICE_GROUP) {
    const kind = TargetKind.DEVICE_GROUP;
    if (verb === ApplyVerb.DELETE) return { kind, name, revision, verb: "delete" };
    if (verb === ApplyVerb.PRUNE) return { kind, name, revision, verb: "prune", pruneId };
    return { kind, name, revision, verb: "update", added: target.added.flatMap(memberOf), removed: target.removed.flatMap(memberOf) };
  }
  if (target.kind === TargetKind.CRON_JOB) return { kind: TargetKind.CRON_JOB, name, revision, verb: deletedOr };
  return { kind: TargetKind.APP, name, revision, verb: verb === ApplyVerb.STOP ? "stop" : deletedOr };
}

function memberOf({ kind, name }: ApplyMember): Member[] {
  if (kind === TargetKind.APP) return [{ kind: TargetKind.APP, name }];
  return kind === TargetKind.CRON_JOB ? [{ kind: TargetKind.CRON_JOB, name }] : [];
}

async function newest(store: TargetStore, target: ApplyTarget, signal: AbortSignal): Promise<Target> {
  const { name } = target;
  const stored = await store.get(keyOf(target), { signal });
  if (stored === undefined) throw noSuch(keyOf(target).kind, name);
  const { revision, deleted, body } = stored;
  const deletedOr = deleted ? "delete" : "update";
  if (target.kind === TargetKind.CRON_JOB) return { kind: TargetKind.CRON_JOB, name, revision, verb: deletedOr };
  if (target.kind === TargetKind.DEVICE_GROUP) {
    const kind = TargetKind.DEVICE_GROUP;
    if (deleted) return { kind, name, revision, verb: "delete" };
    if (target.verb === ApplyVerb.PRUNE) return { kind, name, revision, verb: "prune", pruneId: target.pruneId };
    const { apps, cronJobs } = fromBinary(DeviceGroupSchema, body);
    const added: Member[] = [
      ...apps.map((app) => ({ kind: TargetKind.APP, name: app })),
      ...cronJobs.map((job) => ({ kind: TargetKind.CRON_JOB, name: job })),
    ];
    return { kind, name, revision, verb: "update", added, removed: [] };
  }
  const isStopped = !deleted && fromBinary(AppSchema, body).running === false;
  return { kind: TargetKind.APP, name, revision, verb: isStopped ? "stop" : deletedOr };
}

/** Returns the targets by the device_groups that they reach now. */
export async function reachOf(store: TargetStore, targets: readonly Target[], signal: AbortSignal): Promise<ReadonlyMap<string, readonly Target[]>> {
  const groups = await mapLimited(targets, AT_ONCE, async ({ kind, name }) =>
    kind === TargetKind.DEVICE_GROUP ? [name] : store.groupsNaming(kind === TargetKind.APP ? "app" : "cron_job", name, signal),
  );
  const reach = new Map<string, Target[]>();
  for (const [index, target] of targets.entries()) {
    for (const group of groups[index] ?? []) {
      const known = reach.get(group);
      if (known === undefined) reach.set(group, [target]);
      else known.push(target);
    }
  }
  return reach;
}

type Superseded = Omit<SupersededTarget, "$typeName" | "$unknown">;

/**
 * Returns the targets of which the store has a newer revision, with its author.
 * @param known those that were found before
 */
export async function supersededOf(
  store: TargetStore,
  targets: readonly Target[],
  known: ReadonlyMap<string, Superseded>,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Superseded>> {
  const revisions = await store.revisions(targets.map(keyOf), signal);
  const found = await mapLimited([...targets.entries()], AT_ONCE, async ([index, { kind, name, revision }]): Promise<[string, Superseded][]> => {
    const key = keyOf({ kind, name });
    const newestRevision = revisions[index] ?? 0n;
    const before = known.get(keyText(key));
    if (before !== undefined && before.revision >= newestRevision) return [[keyText(key), before]];
    if (newestRevision <= revision) return [];
    const stored = await store.get(key, { signal, atLeast: newestRevision });
    if (stored === undefined) return [];
    const { changedAt, changedBy, deleted } = stored;
    return [[keyText(key), { kind, name, revision: stored.revision, by: changedBy, at: timestampFromMs(changedAt), deleted }]];
  });
  return new Map(found.flat());
}
