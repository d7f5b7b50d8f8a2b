import { setImmediate as turn } from "node:timers/promises";
import { fromBinary } from "@bufbuild/protobuf";
import type { Clock } from "../../../common/clock/clock.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { NewestConfig, NewestMember } from "../../../common/insight/newest-config.ts";
import type { ConfigStore } from "../../../common/storage/config-store.ts";
import type { ReportStore } from "../../../common/storage/report-store.ts";
import { quote } from "../../../common/text/wording.ts";
import { DeviceGroupSchema } from "../../../gen/nebula/v1/device_group_pb.ts";
import { TargetKind } from "../../../gen/nebula/v1/device_pb.ts";
import type { Principal } from "../../access/principal.ts";
import { isPermitted } from "../../access/rights/permit.ts";
import { groupKey } from "../../access/rights/rights.ts";
import type { GroupView, GroupViews, OpenOptions } from "../../insight/views/group-view.ts";

/** Names of groups that are read at a time. */
const NAMES = 500;

export type FleetReaderParts = Readonly<{
  groupViews: GroupViews;
  configStore: Pick<ConfigStore, "get" | "getMany" | "list">;
  reportStore: Pick<ReportStore, "groups">;
  clock: Clock;
}>;

/** The device_groups of a fleet for calls about many devices. */
export class FleetReader {
  readonly #parts: FleetReaderParts;

  constructor(parts: FleetReaderParts) {
    this.#parts = parts;
  }

  nowMs(): number {
    return this.#parts.clock.now();
  }

  /** Names of the groups that exist or have devices and that the caller may read, sorted, after a name; `first`: that one before them. */
  async *readableGroups(principal: Principal, { after, first }: { after: string; first?: string }, signal: AbortSignal): AsyncGenerator<string> {
    const mayRead = (name: string) => isPermitted(principal, { kind: "read", entity: groupKey(name) }, false);
    if (first !== undefined && mayRead(first)) yield first;
    for await (const name of this.allGroups(after, signal)) {
      if (mayRead(name)) yield name;
    }
  }

  /** Names of all groups that exist or have devices, sorted, after a name. */
  allGroups(after: string, signal: AbortSignal): AsyncGenerator<string> {
    const { configStore, reportStore } = this.#parts;
    const existing = names(
      async (last) => (await configStore.list("device_group", { after: last, limit: NAMES }, signal)).items.map(({ name }) => name),
      after,
    );
    return merged(
      existing,
      names((last) => reportStore.groups({ after: last, limit: NAMES }, signal), after),
    );
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
      throw new NebulaError("not_found", `device_group ${quote(deviceGroup)} does not exist, and no device is in it`);
    } catch (error) {
      view[Symbol.dispose]();
      throw error;
    }
  }

  /** The newest config of a group; undefined if it does not exist. */
  async newestConfig(deviceGroup: string, signal: AbortSignal): Promise<NewestConfig | undefined> {
    const { configStore } = this.#parts;
    const stored = await configStore.get(groupKey(deviceGroup), { signal });
    if (stored === undefined || stored.deleted) return undefined;
    const { apps, cronJobs } = fromBinary(DeviceGroupSchema, stored.body);
    const membersOf = async (kind: NewestMember["kind"], entity: "app" | "cron_job", of: readonly string[]): Promise<NewestMember[]> => {
      const found = of.length === 0 ? new Map() : await configStore.getMany(entity, of, { signal });
      return of.map((name) => ({ kind, name, revision: found.get(name)?.revision ?? 0n, deleted: found.get(name)?.deleted ?? false }));
    };
    const members = await Promise.all([membersOf(TargetKind.APP, "app", apps), membersOf(TargetKind.CRON_JOB, "cron_job", cronJobs)]);
    return { groupRevision: stored.revision, members: members.flat() };
  }
}

async function* names(read: (after: string) => Promise<readonly string[]>, after: string): AsyncGenerator<string> {
  for (let last = after; ; ) {
    const page = await read(last);
    yield* page;
    const next = page.at(-1);
    if (next === undefined) return; // a page may be short and have a next one
    last = next;
    await turn();
  }
}

/** Two sorted sequences in one, each name once. */
async function* merged(one: AsyncGenerator<string>, other: AsyncGenerator<string>): AsyncGenerator<string> {
  let [a, b] = await Promise.all([one.next(), other.next()]);
  while (a.done !== true || b.done !== true) {
    const name = a.done === true ? b.value : b.done === true || a.value <= b.value ? a.value : b.value;
    if (name === undefined) return;
    yield name;
    if (a.done !== true && a.value === name) a = await one.next();
    if (b.done !== true && b.value === name) b = await other.next();
  }
}
