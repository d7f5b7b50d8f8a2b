import { type EntityKey, keyText, type StoredEntity } from "../../../common/storage/config-store.ts";
import type { AuditEntry } from "../../../gen/nebula/v1/audit_pb.ts";
import { groupKey } from "../../access/rights/rights.ts";
import { type Newest, newestOf, type StoredGroup } from "../../insight/drift.ts";
import type { GroupStanding } from "./group-standing.ts";

/** An entity at its newest revision, without its body. */
export type EntityState = Omit<StoredEntity, "body">;

/** The newest config of a group, and the entities that it is made of. `keys`: those of the group and of each member that it names, be there such an entity or not. */
export type GroupConfig = Readonly<{ newest: Newest; keys: readonly EntityKey[]; group: EntityState; members: readonly EntityState[] }>;

export function configOf(stored: StoredGroup): GroupConfig {
  const { group, named, members } = stored;
  return { newest: newestOf(stored), keys: [groupKey(group.name), ...named], group: withoutBody(group), members: members.map(withoutBody) };
}

function withoutBody({ body: _, ...entity }: StoredEntity): EntityState {
  return entity;
}

/** The group and its members that ever existed. */
export function entitiesOf(config: GroupConfig | undefined): readonly EntityState[] {
  return config === undefined ? [] : [config.group, ...config.members];
}

export function isSameConfig(one: GroupConfig | undefined, other: GroupConfig | undefined): boolean {
  const textOf = (config: GroupConfig | undefined) => entitiesOf(config).map((entity) => `${keyText(entity)} ${entity.revision}`);
  return textOf(one).join() === textOf(other).join();
}

/** A device_group of the fleet. */
export type GroupInFleet = Readonly<{
  deviceGroup: string;
  /** Undefined: it does not exist. */
  config: GroupConfig | undefined;
  /** Undefined: its devices were not counted yet, or there is no room for them. */
  standing: GroupStanding | undefined;
  isUncounted: boolean;
  /** Devices with a token of their own that neither reported nor connected. */
  neverCame: number;
  /** Rises with each change of the group. */
  stamp: number;
}>;

/** Whether a group exists, or has devices, as far as they could be counted: the stores have the name of one that does neither for long. */
export function existsOrHasDevices({ config, standing, isUncounted, neverCame }: GroupInFleet): boolean {
  return config !== undefined || isUncounted || (standing?.devices ?? 0) > 0 || neverCame > 0;
}

/** The view of a reader, all of it in place: an object is replaced, or its stamp rises, when it changes. Dispose it when the reader ends. */
export interface FleetView extends Disposable {
  /** By name; those that other readers want are among them. */
  readonly groups: ReadonlyMap<string, GroupInFleet>;
  /** Names of the followed groups that an entity is a member of, or is. */
  groupsOf(key: EntityKey): Iterable<string>;
  /** The newest revision of an entity that a followed group has as a member, or is; undefined if it is not known. */
  newestOf(key: EntityKey): EntityState | undefined;
  /** Changes of entities in the last hour, newest first. */
  readonly changes: readonly AuditEntry[];
  /** Whether there are more than these. */
  readonly hasMoreChanges: boolean;
  /** Resolves when all groups that the reader wants were counted, with what was announced before the call. Rejects as a pass does. */
  ready(signal: AbortSignal): Promise<void>;
  /** Called after anything changed. The listener must not throw. */
  onChange(listener: () => void): Disposable;
}

export interface FleetViews {
  /** @param wants which groups the reader wants, as of each time when it is asked */
  open(wants: (deviceGroup: string) => boolean): FleetView;
}
