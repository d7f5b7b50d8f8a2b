import type { Clock } from "../../../common/clock/clock.ts";
import type { FilterContext } from "../../../common/insight/device-filter.ts";
import type { NewestConfig } from "../../../common/insight/newest-config.ts";
import { type ConfigStore, keyText } from "../../../common/storage/config-store.ts";
import type { ReportStore } from "../../../common/storage/report-store.ts";
import { noSuch } from "../../../common/text/no-such.ts";
import { type DeviceFilter, TargetKind } from "../../../gen/nebula/v1/device_pb.ts";
import type { Principal } from "../../access/principal.ts";
import { ADMIN_RIGHTS, groupKey, type NameRange, readableRanges } from "../../access/rights/rights.ts";
import { NamePages, walkRanges } from "../../entities/readable-entities.ts";
import { newestOf, readGroup, type StoredGroup, standingsIn } from "../../insight/drift.ts";
import type { GroupView, GroupViews, OpenOptions } from "../../insight/views/group-view.ts";
import { assertMayReadTarget, type Followed, followedOf, type TargetStore } from "./device-target.ts";

/** Names of groups that are read at a time. */
const NAMES = 500;

export type FleetReaderParts = Readonly<{
  groupViews: GroupViews;
  configStore: Pick<ConfigStore, "get" | "getMany" | "names"> & TargetStore;
  reportStore: Pick<ReportStore, "groups">;
  clock: Clock;
}>;

/** The newest config of a group, as filters and counts compare devices with it. */
export type Compared = Pick<FilterContext, "newest" | "standingOf">;

/** The device_groups of a fleet for calls about many devices. */
export class FleetReader {
  readonly #parts: FleetReaderParts;

  constructor(parts: FleetReaderParts) {
    this.#parts = parts;
  }

  nowMs(): number {
    return this.#parts.clock.now();
  }

  /**
   * Names of the groups that exist or have devices and that the caller may read, sorted, after a name; `first`: that one before them. The grants decide which
   * names are read, and nothing but names is. One that was deleted a moment ago may be among them.
   */
  async *readableGroups(principal: Principal, { after, first }: { after: string; first?: string }, signal: AbortSignal): AsyncGenerator<string> {
    if (principal.kind !== "user") return;
    const ranges = readableRanges(principal.rights, "device_group");
    if (first !== undefined && ranges.some((range) => range.has(first))) yield first;
    yield* this.#groupsIn(ranges, after, signal);
  }

  /** Names of all groups that exist or have devices, sorted, after a name. One that was deleted a moment ago may be among them. */
  allGroups(after: string, signal: AbortSignal): AsyncGenerator<string> {
    return this.#groupsIn(readableRanges(ADMIN_RIGHTS, "device_group"), after, signal);
  }

  #groupsIn(ranges: readonly NameRange[], after: string, signal: AbortSignal): AsyncGenerator<string> {
    const { configStore, reportStore } = this.#parts;
    const existing = new NamePages((from) => configStore.names("device_group", { after: from, limit: NAMES }, signal));
    const reporting = new NamePages((from) => reportStore.groups({ after: from, limit: NAMES }, signal));
    return walkRanges(ranges, after, async (last) => earliest(...(await Promise.all([existing.first(last), reporting.first(last)]))));
  }

  /** Opens the view of a group. */
  open(deviceGroup: string, signal: AbortSignal, options?: OpenOptions): Promise<GroupView> {
    return this.#parts.groupViews.open(deviceGroup, signal, options);
  }

  /** Opens the view of a group that a caller named. Rejects with `not_found` where the group does not exist and has no devices. */
  async openNamed(deviceGroup: string, signal: AbortSignal, options?: OpenOptions): Promise<GroupView> {
    const view = await this.open(deviceGroup, signal, options);
    try {
      if (view.devices.size > 0) return view;
      const stored = await this.#parts.configStore.get(groupKey(deviceGroup), { signal });
      if (stored !== undefined && !stored.deleted) return view;
      throw noSuch("device_group", deviceGroup);
    } catch (error) {
      view[Symbol.dispose]();
      throw error;
    }
  }

  /** The target of a valid filter; undefined if it has none. Rejects with `permission_denied`, or `not_found`. */
  async followed(filter: DeviceFilter | undefined, principal: Principal, signal: AbortSignal): Promise<Followed | undefined> {
    assertMayReadTarget(principal, filter);
    return followedOf(this.#parts.configStore, filter, signal);
  }

  /** The newest config of a group, all of it as of one read. */
  async compared(deviceGroup: string, signal: AbortSignal): Promise<Compared> {
    const stored = await readGroup(this.#parts.configStore, deviceGroup, signal);
    let standingOf: Compared["standingOf"] | undefined;
    return {
      newest: stored === undefined ? undefined : newestConfigOf(stored),
      standingOf(device) {
        standingOf ??= standingsIn(deviceGroup, stored === undefined ? undefined : newestOf(stored));
        return standingOf(device);
      },
    };
  }
}

function newestConfigOf({ group, named, members: stored }: StoredGroup): NewestConfig {
  const found = new Map(stored.map((member) => [keyText(member), member]));
  const members = named.map((key) => {
    const { revision = 0n, deleted = false } = found.get(keyText(key)) ?? {};
    return { kind: key.kind === "app" ? TargetKind.APP : TargetKind.CRON_JOB, name: key.name, revision, deleted };
  });
  return { groupRevision: group.revision, members };
}

function earliest(one: string | undefined, other: string | undefined): string | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return one < other ? one : other;
}
