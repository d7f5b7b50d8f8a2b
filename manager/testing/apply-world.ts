import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { FeedListener } from "../../common/feed/change-feed.ts";
import { DEVICE_STATES, stateOfDevice, type Target } from "../../common/insight/device-state.ts";
import { type EntityKey, keyText, type StoredEntity } from "../../common/storage/config-store.ts";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { type ApplyTargetSchema, ApplyVerb, WatchApplyRequestSchema, type WatchApplyResponseSchema } from "../../gen/nebula/v1/apply_pb.ts";
import { ConnectionState, DeviceConnectionSchema, DeviceSchema, DeviceSummarySchema, TargetKind } from "../../gen/nebula/v1/device_pb.ts";
import { AppStatusSchema, FailureCode, ReportSchema, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import type { Principal } from "../access/principal.ts";
import { ADMIN_RIGHTS } from "../access/rights/rights.ts";
import { watchApply } from "../insight/apply/watch-apply.ts";
import type { DeviceChange, DeviceInGroup, GroupView } from "../insight/views/group-view.ts";

export const ADMIN: Principal = { kind: "user", name: "root", rights: ADMIN_RIGHTS };
export const WEB: MessageInitShape<typeof ApplyTargetSchema> = { kind: TargetKind.APP, name: "web", revision: 42n, verb: ApplyVerb.UPDATE };
const UPDATE: Target = { kind: TargetKind.APP, name: "web", revision: 42n, verb: "update" };

type Message = MessageInitShape<typeof WatchApplyResponseSchema>;

/** A device that reports the app web. */
export function device(
  deviceId: string,
  given: { revision?: bigint; applied?: bigint; state?: TargetState; code?: FailureCode; online?: boolean; original?: boolean } = {},
): DeviceInGroup {
  const { revision = 41n, applied = revision, state = TargetState.APPLIED, code = FailureCode.UNSPECIFIED, online = true, original = false } = given;
  const target = {
    kind: TargetKind.APP,
    name: "web",
    revision,
    appliedRevision: applied,
    state,
    failureCode: code,
    containers: 1,
    sinceMs: 2n ** 60n,
  };
  return {
    deviceId,
    summary: create(DeviceSummarySchema, { deviceId, original, targets: [target] }),
    connection: create(DeviceConnectionSchema, { state: online ? ConnectionState.ONLINE : ConnectionState.OFFLINE }),
  };
}

export const applied = (deviceId: string, online = true) => device(deviceId, { revision: 42n, online });
export const working = (deviceId: string, online = true) => device(deviceId, { revision: 42n, applied: 41n, state: TargetState.WORKING, online });
export const failing = (deviceId: string, code: FailureCode = FailureCode.EXITS, online = true) =>
  device(deviceId, { revision: 42n, applied: 41n, state: TargetState.FAILED, code, online });

/** Stores and views in memory; an announcement that is lost reaches a view with its next re-read. */
export function startWorld() {
  const clock = new ManualClock();
  const stored = new Map<string, Map<string, DeviceInGroup>>();
  const views = new Map<string, Set<{ devices: Map<string, DeviceInGroup>; listener: ((changes: readonly DeviceChange[]) => void) | undefined }>>();
  const groupsOfApp = new Map<string, string[]>([["web", ["pos"]]]);
  const entities = new Map<string, StoredEntity>();
  const feed = new Set<FeedListener>();
  const counts = { opened: 0, rereads: 0, reasons: 0, reachReads: 0 };
  let isAway = false;

  const setEntity = (key: EntityKey, revision: bigint, more: Partial<StoredEntity> = {}) => {
    entities.set(keyText(key), {
      ...key,
      revision,
      deleted: false,
      body: new Uint8Array(),
      action: "update",
      changedAt: 1000,
      changedBy: "ann",
      ...more,
    });
    for (const listener of feed) listener({ kind: "entity", entity: key, revision });
  };
  setEntity({ kind: "app", name: "web" }, 42n, { body: toBinary(AppSchema, create(AppSchema, { name: "web" })) });

  const groupOf = (name: string) => {
    const group = stored.get(name) ?? new Map<string, DeviceInGroup>();
    stored.set(name, group);
    return group;
  };
  /** Writes to the store, and announces it unless that is lost. */
  const write = (group: string, deviceId: string, after: DeviceInGroup | undefined, lost = false) => {
    if (after === undefined) groupOf(group).delete(deviceId);
    else groupOf(group).set(deviceId, after);
    if (!lost) for (const view of views.get(group) ?? []) fold(view, deviceId, after);
  };
  type View = { devices: Map<string, DeviceInGroup>; listener: ((changes: readonly DeviceChange[]) => void) | undefined };
  const fold = (view: View, deviceId: string, after: DeviceInGroup | undefined) => {
    const before = view.devices.get(deviceId);
    if (after === undefined) view.devices.delete(deviceId);
    else view.devices.set(deviceId, after);
    if (before !== after) view.listener?.([{ before, after }]);
  };

  const parts = {
    clock,
    groupViews: {
      async open(deviceGroup: string): Promise<GroupView> {
        if (isAway) throw new NebulaError("unavailable", "no store");
        counts.opened++;
        const view: View = { devices: new Map(groupOf(deviceGroup)), listener: undefined };
        const open = views.get(deviceGroup) ?? new Set();
        views.set(deviceGroup, open.add(view));
        return {
          deviceGroup,
          devices: view.devices,
          ended: new AbortController().signal,
          onChange(listener) {
            view.listener = listener;
            return {
              [Symbol.dispose]() {
                view.listener = undefined;
              },
            };
          },
          async reread() {
            if (isAway) throw new NebulaError("unavailable", "no store");
            counts.rereads++;
            for (const id of new Set([...view.devices.keys(), ...groupOf(deviceGroup).keys()])) fold(view, id, groupOf(deviceGroup).get(id));
          },
          [Symbol.dispose]: () => void open.delete(view),
        };
      },
    },
    configStore: {
      async groupsNaming(_kind: string, name: string) {
        counts.reachReads++;
        return groupsOfApp.get(name) ?? [];
      },
      revisions: async (keys: readonly EntityKey[]) => keys.map((key) => entities.get(keyText(key))?.revision ?? 0n),
      get: async (key: EntityKey) => entities.get(keyText(key)),
    },
    reportStore: {
      async getDevice(deviceId: string) {
        counts.reasons++;
        return create(DeviceSchema, {
          deviceId,
          report: create(ReportSchema, { apps: [create(AppStatusSchema, { name: "web", reason: `why ${deviceId}` })] }),
        });
      },
    },
    changeFeed: {
      subscribe(listener: FeedListener) {
        feed.add(listener);
        return { [Symbol.dispose]: () => void feed.delete(listener) };
      },
    },
  };
  return {
    clock,
    counts,
    parts,
    write,
    setEntity,
    groupOf,
    setGroups(app: string, groups: string[]) {
      groupsOfApp.set(app, groups);
      for (const listener of feed) listener({ kind: "entity", entity: { kind: "device_group", name: groups[0] ?? "pos" }, revision: 1n });
    },
    setAway(away: boolean) {
      isAway = away;
    },
    get openViews() {
      return [...views.values()].reduce((sum, open) => sum + open.size, 0);
    },
    get listeners() {
      return feed.size;
    },
  };
}

export type World = ReturnType<typeof startWorld>;

/** Follows a change as serve-stream does: a message is asked for when the one before was taken. */
export function follow(world: World, request: MessageInitShape<typeof WatchApplyRequestSchema> = {}, principal = ADMIN) {
  const gone = new AbortController();
  const messages: { at: number; message: Message }[] = [];
  let check = (_: Principal) => {};
  const stream = watchApply(world.parts, create(WatchApplyRequestSchema, { targets: [WEB], ...request }), {
    principal,
    signal: gone.signal,
    keepAllowed: (given) => {
      check = given;
    },
  });
  const ended = (async () => {
    for await (const message of stream) messages.push({ at: world.clock.monotonic(), message });
  })();
  ended.catch(() => {});
  return {
    messages,
    ended,
    leave: () => gone.abort(new NebulaError("cancelled", "gone")),
    setRights: (now: Principal) => check(now),
    get last(): Message {
      return messages.at(-1)?.message ?? {};
    },
    get verdict() {
      return messages.at(-1)?.message.verdict;
    },
  };
}

/** The states that are not 0, without the number of devices that follows from them. */
export function states(message: Message): Record<string, number> {
  const counts = message.counts ?? {};
  return Object.fromEntries(DEVICE_STATES.map((state) => [state, Number(counts[state] ?? 0n)] as const).filter(([, count]) => count > 0));
}

export function recount(world: World, groups: readonly string[], targets: readonly Target[] = [UPDATE]): Record<string, number> {
  const found = groups.flatMap((group) => [...world.groupOf(group).values()]).map((each) => stateOfDevice(each, targets).state);
  return Object.fromEntries(
    DEVICE_STATES.map((state) => [state, found.filter((each) => each === state).length] as const).filter(([, count]) => count > 0),
  );
}
