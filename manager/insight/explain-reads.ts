/** The parts of an explanation of a device, as the stores have them. */
import { clone } from "@bufbuild/protobuf";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { type DesiredEntity, desiredEntity } from "../../common/insight/desired-revision.ts";
import { type ExplainInput, explain, type NewestConfig, type TargetToExplain } from "../../common/insight/explain.ts";
import { mapLimited } from "../../common/map-limited.ts";
import type { SecretKeys } from "../../common/secrets/secret-keys.ts";
import { type ConfigStore, keyText, type StoredEntity } from "../../common/storage/config-store.ts";
import type { ReportStore } from "../../common/storage/report-store.ts";
import { AppEntrySchema, type Config, CronJobEntrySchema } from "../../gen/nebula/v1/config_pb.ts";
import { type Device, type DeviceConnection, TargetKind } from "../../gen/nebula/v1/device_pb.ts";
import type { Explanation } from "../../gen/nebula/v1/explain_pb.ts";
import { type Report, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { composeConfig, openedConfig, openSecretsOf } from "../config/group-config.ts";
import { encodeConfig } from "../config/load-config.ts";

export type ExplainStores = Readonly<{ configStore: ConfigStore; reportStore: Pick<ReportStore, "listReports">; secretKeys: SecretKeys }>;

export type TargetKey = Readonly<{ kind: "app" | "cron_job"; name: string }>;

/** The members of a group with their newest revisions, and the config that its devices get. */
export type GroupFacts = Readonly<{
  stored: StoredEntity | undefined;
  newest: NewestConfig;
  members: ExplainInput["members"];
}>;

/** Revisions of entities that are read side by side for one explanation. */
const READS_AT_ONCE = 8;
/** Reports among which the first one with the newest config is looked for. */
const MOST_REPORTS = 50;
/** How far two servers' clocks may differ, milliseconds. */
const CLOCKS_MS = 60_000;

/**
 * Reads a group and its config.
 * @param mayRead whether the caller may see a fault of this member in its words
 */
export async function readGroup(
  { configStore, secretKeys }: ExplainStores,
  deviceGroup: string,
  mayRead: (key: TargetKey) => boolean,
  signal: AbortSignal,
): Promise<GroupFacts> {
  const composed = await composeConfig(configStore, deviceGroup, { signal });
  const [self] = composed.madeFrom;
  const stored = await configStore.get({ kind: "device_group", name: deviceGroup }, { atLeast: self?.revision, signal });
  if (composed.kind === "no_such_group") return { stored, newest: { kind: "no_such_group" }, members: { app: [], cron_job: [] } };
  const { config } = composed;
  const members = { app: config.apps.map(({ name }) => name), cron_job: config.cronJobs.map(({ name }) => name) };
  return { stored, newest: newestConfig(secretKeys, config, mayRead), members };
}

function newestConfig(keys: SecretKeys, config: Config, mayRead: (key: TargetKey) => boolean): NewestConfig {
  try {
    const { etag } = encodeConfig(openedConfig(keys, config));
    return { kind: "config", etag, revisions: revisionsOf(config) };
  } catch (error) {
    if (!isNebulaError(error, "failed_precondition")) throw error;
    const reason = mayRead(faultyMember(keys, config)) ? error.message : "a secret value of a member that you may not read can't be opened";
    return { kind: "fault", reason };
  }
}

function revisionsOf({ apps, cronJobs }: Config): ReadonlyMap<string, bigint> {
  return new Map([
    ...apps.map(({ name, revision }) => [`app/${name}`, revision] as const),
    ...cronJobs.map(({ name, revision }) => [`cron_job/${name}`, revision] as const),
  ]);
}

/** The first member whose secret values cannot be opened: the one that the error is about. */
function faultyMember(keys: SecretKeys, { apps, cronJobs }: Config): TargetKey {
  const opens = (open: () => void) => {
    try {
      open();
      return true;
    } catch {
      return false;
    }
  };
  const app = apps.find((entry) => !opens(() => openSecretsOf(keys, clone(AppEntrySchema, entry))));
  if (app !== undefined) return { kind: "app", name: app.name };
  const cronJob = cronJobs.find((entry) => !opens(() => openSecretsOf(keys, clone(CronJobEntrySchema, entry))));
  return { kind: "cron_job", name: cronJob?.name ?? "" };
}

/** The members of a group, then what the device still has of others: containers, or a step of their removal. */
export function targetKeys({ members }: GroupFacts, report: Report | undefined): readonly (TargetKey & { inGroup: boolean })[] {
  const named = (kind: TargetKey["kind"]) => members[kind].map((name) => ({ kind, name, inGroup: true }));
  const left = (kind: TargetKey["kind"], statuses: readonly { name: string; state: TargetState; containers: readonly unknown[] }[]) => {
    const known = new Set(members[kind]);
    return statuses
      .filter(({ name, state, containers }) => !known.has(name) && (containers.length > 0 || state !== TargetState.APPLIED))
      .map(({ name }) => ({ kind, name, inGroup: false }));
  };
  return [...named("app"), ...named("cron_job"), ...left("app", report?.apps ?? []), ...left("cron_job", report?.cronJobs ?? [])];
}

export type ToExplain = Readonly<{
  deviceId: string;
  deviceGroup: string;
  facts: GroupFacts;
  device: Device | undefined;
  connection: DeviceConnection | undefined;
  targets: readonly (TargetKey & { inGroup: boolean })[];
  hiddenTargets: number;
  now: number;
}>;

/** Explains a device; the revisions before are read for those targets alone that the explanation shows. */
export async function readExplanation(stores: ExplainStores, { facts, targets, ...about }: ToExplain, signal: AbortSignal): Promise<Explanation> {
  const stored = await readTargets(stores, targets, signal);
  const previous = new Map<string, StoredEntity>();
  const remember = async (entity: StoredEntity) => {
    const [before] = (await stores.configStore.history(entity, { before: entity.revision, limit: 1 }, signal)).items;
    if (before !== undefined) previous.set(keyText(entity), before);
  };
  const desiredOf = (entity: StoredEntity | undefined): DesiredEntity | undefined => entity && desiredEntity(entity, previous.get(keyText(entity)));
  const explained = (deliveredAt?: number) =>
    explain({
      ...about,
      ...facts,
      group: desiredOf(facts.stored),
      deliveredAt,
      targets: targets.map((target): TargetToExplain => ({ ...target, desired: desiredOf(stored.get(keyText(target))) })),
    });
  const first = explained();
  const shown = first.targets.map(({ kind, name }) => stored.get(keyText({ kind: kind === TargetKind.APP ? "app" : "cron_job", name })));
  const entities = [facts.stored, ...shown].filter((entity) => entity !== undefined);
  await mapLimited(entities, READS_AT_ONCE, remember);
  return explained(first.delivered ? await deliveredSince(stores, first, about.device, signal) : undefined);
}

async function readTargets(
  { configStore }: ExplainStores,
  targets: readonly TargetKey[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, StoredEntity>> {
  const read = (kind: TargetKey["kind"]) => {
    const names = targets.filter((target) => target.kind === kind).map(({ name }) => name);
    return names.length === 0 ? new Map<string, StoredEntity>() : configStore.getMany(kind, names, { signal });
  };
  const found = await Promise.all([read("app"), read("cron_job")]);
  return new Map(found.flatMap((entities) => [...entities.values()].map((entity) => [keyText(entity), entity])));
}

/**
 * When the first report with the newest etag was received, milliseconds since 1970; undefined: the reports that are kept do not reach back to the change, or
 * the device has no etag.
 */
async function deliveredSince(
  { reportStore }: ExplainStores,
  { group, targets, newestEtag }: Explanation,
  device: Device | undefined,
  signal: AbortSignal,
): Promise<number | undefined> {
  const changes = [group, ...targets.map(({ desired }) => desired)].flatMap((desired) => millis(desired?.lastChange?.at) ?? []);
  if (device === undefined || changes.length === 0) return undefined;
  const { deviceId, firstSeenAt } = device;
  const changedAt = Math.max(...changes);
  const [oldest, since] = await Promise.all([
    reportStore.listReports({ deviceId }, { limit: 1 }, signal),
    reportStore.listReports({ deviceId, receivedFromMs: changedAt - CLOCKS_MS }, { limit: MOST_REPORTS }, signal),
  ]);
  const oldestAt = millis(oldest.items[0]?.report?.receivedAt);
  const firstSeen = millis(firstSeenAt);
  if (oldestAt === undefined || (oldestAt > changedAt && oldestAt !== firstSeen)) return undefined;
  return millis(since.items.find(({ report }) => report?.etag === newestEtag)?.report?.receivedAt);
}

function millis(at: Timestamp | undefined): number | undefined {
  return at === undefined ? undefined : timestampMs(at);
}
