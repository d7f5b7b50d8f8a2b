import { strict as assert } from "node:assert";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { ManualClock } from "../../../common/clock/manual-clock.ts";
import { isNebulaError, NebulaError } from "../../../common/errors/nebula-error.ts";
import type { FeedListener } from "../../../common/feed/change-feed.ts";
import { DEVICE_STATES, stateOfDevice, type Target } from "../../../common/insight/device-state.ts";
import { type EntityKey, keyText, type StoredEntity } from "../../../common/storage/config-store.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import { AppSchema } from "../../../gen/nebula/v1/app_pb.ts";
import {
  type ApplyTargetSchema,
  ApplyVerb,
  ApplyVerdict,
  DeviceStanding,
  WatchApplyRequestSchema,
  type WatchApplyResponseSchema,
} from "../../../gen/nebula/v1/apply_pb.ts";
import { DeviceGroupSchema } from "../../../gen/nebula/v1/device_group_pb.ts";
import { ConnectionState, DeviceConnectionSchema, DeviceSchema, DeviceSummarySchema, TargetKind } from "../../../gen/nebula/v1/device_pb.ts";
import { AppStatusSchema, FailureCode, ReportSchema, TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import type { Principal } from "../../access/principal.ts";
import { ADMIN_RIGHTS, NO_RIGHTS, rightsOf } from "../../access/rights/rights.ts";
import { startSmallViews } from "../../testing/small-views.ts";
import type { DeviceChange, DeviceInGroup, GroupView } from "../views/group-view.ts";
import { watchApply } from "./watch-apply.ts";

const ADMIN: Principal = { kind: "user", name: "root", rights: ADMIN_RIGHTS };
const WEB: MessageInitShape<typeof ApplyTargetSchema> = { kind: TargetKind.APP, name: "web", revision: 42n, verb: ApplyVerb.UPDATE };
const UPDATE: Target = { kind: TargetKind.APP, name: "web", revision: 42n, verb: "update" };

type Message = MessageInitShape<typeof WatchApplyResponseSchema>;

/** A device that reports the app web. */
function device(
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

const applied = (deviceId: string, online = true) => device(deviceId, { revision: 42n, online });
const working = (deviceId: string, online = true) => device(deviceId, { revision: 42n, applied: 41n, state: TargetState.WORKING, online });
const failing = (deviceId: string, code: FailureCode = FailureCode.EXITS, online = true) =>
  device(deviceId, { revision: 42n, applied: 41n, state: TargetState.FAILED, code, online });

/** Stores and views in memory; an announcement that is lost reaches a view with its next re-read. */
function startWorld() {
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

type World = ReturnType<typeof startWorld>;

/** Follows a change as serve-stream does: a message is asked for when the one before was taken. */
function follow(world: World, request: MessageInitShape<typeof WatchApplyRequestSchema> = {}, principal = ADMIN) {
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
function states(message: Message): Record<string, number> {
  const counts = message.counts ?? {};
  return Object.fromEntries(DEVICE_STATES.map((state) => [state, Number(counts[state] ?? 0n)] as const).filter(([, count]) => count > 0));
}

function recount(world: World, groups: readonly string[], targets: readonly Target[] = [UPDATE]): Record<string, number> {
  const found = groups.flatMap((group) => [...world.groupOf(group).values()]).map((each) => stateOfDevice(each, targets).state);
  return Object.fromEntries(
    DEVICE_STATES.map((state) => [state, found.filter((each) => each === state).length] as const).filter(([, count]) => count > 0),
  );
}

describe("WatchApply", () => {
  it("WatchApply counts at once, follows each change, and says applied 10 s after the last one", async () => {
    const world = startWorld();
    world.write("pos", "a", device("a"));
    world.write("pos", "b", device("b"));
    world.write("pos", "off", device("off", { online: false }));
    const followed = follow(world);
    await world.clock.advance(0);
    assert.deepEqual(states(followed.last), { waiting: 2, offline: 1 });
    world.write("pos", "a", working("a"));
    await world.clock.advance(250);
    assert.deepEqual(states(followed.last), { waiting: 1, working: 1, offline: 1 });
    assert.deepEqual(
      followed.last.changed?.map(({ deviceId, standing }) => [deviceId, standing]),
      [["a", DeviceStanding.WORKING]],
    );
    world.write("pos", "a", applied("a"));
    world.write("pos", "b", applied("b"));
    await world.clock.advance(9999);
    assert.equal(followed.verdict, undefined);
    await world.clock.advance(1);
    await followed.ended;
    assert.equal(followed.verdict, ApplyVerdict.APPLIED);
    assert.deepEqual(states(followed.last), { applied: 2, offline: 1 });
    assert.deepEqual([followed.last.counts?.devices, followed.last.counts?.online, followed.last.counts?.onlineApplied], [3n, 2n, 2n]);
    assert.deepEqual([world.openViews, world.listeners], [0, 0]);
  });

  it("a container that dies 3 s after its start has failed when the verdict comes, and one that recovers has not", async () => {
    for (const recovers of [false, true]) {
      const world = startWorld();
      world.write("pos", "a", working("a"));
      const followed = follow(world);
      await world.clock.advance(1000);
      world.write("pos", "a", applied("a"));
      await world.clock.advance(3000);
      world.write("pos", "a", failing("a"));
      await world.clock.advance(9000);
      assert.equal(followed.verdict, undefined);
      if (recovers) world.write("pos", "a", applied("a"));
      await world.clock.advance(10_000);
      assert.equal(followed.verdict, recovers ? ApplyVerdict.APPLIED : ApplyVerdict.FAILED);
    }
  });

  it("a device that goes offline in the middle is waited for no more, and without one online device nothing has succeeded", async () => {
    const world = startWorld();
    world.write("pos", "a", applied("a"));
    world.write("pos", "b", working("b"));
    const followed = follow(world);
    await world.clock.advance(60_000);
    assert.equal(followed.verdict, undefined);
    world.write("pos", "b", working("b", false));
    await world.clock.advance(10_000);
    assert.equal(followed.verdict, ApplyVerdict.APPLIED);
    world.write("pos", "a", applied("a", false));
    const second = follow(world, { settleMs: 0 });
    await world.clock.advance(0);
    assert.equal(second.verdict, ApplyVerdict.NONE_ONLINE);
    assert.deepEqual(states(second.last), { applied: 1, offline: 1 });
  });

  it("the timeout ends it as unfinished while a device works, though others failed; a timeout of 0 at once, with one message", async () => {
    const world = startWorld();
    world.write("pos", "a", working("a"));
    world.write("pos", "b", failing("b"));
    const followed = follow(world, { timeoutMs: 30_000 });
    await world.clock.advance(29_999);
    assert.equal(followed.verdict, undefined);
    await world.clock.advance(1);
    assert.equal(followed.verdict, ApplyVerdict.UNFINISHED);
    const now = follow(world, { timeoutMs: 0 });
    await now.ended;
    assert.deepEqual([now.messages.length, now.verdict], [1, ApplyVerdict.UNFINISHED]);
  });

  it("messages come at most four a second while devices change, and every 10 s while none does", async () => {
    const world = startWorld();
    world.write("pos", "a", working("a"));
    const followed = follow(world, { timeoutMs: 600_000 });
    for (let step = 0; step < 100; step++) {
      world.write("pos", "a", step % 2 === 0 ? failing("a") : working("a"));
      await world.clock.advance(50);
    }
    const busy = followed.messages.length;
    assert.ok(busy >= 15 && busy <= 21, `${busy} messages in 5 s`);
    for (const [index, { at }] of followed.messages.entries()) assert.ok(index === 0 || at - (followed.messages[index - 1]?.at ?? 0) >= 250);
    await world.clock.advance(40_000);
    assert.ok(followed.messages.length - busy >= 4 && followed.messages.length - busy <= 5);
    followed.leave();
    await assert.rejects(followed.ended);
    assert.deepEqual([world.openViews, world.listeners], [0, 0]);
  });

  it("at most 100 changed devices are named in a message, the others are counted by state and code", async () => {
    const world = startWorld();
    for (let number = 0; number < 250; number++) world.write("pos", `d${number}`, device(`d${number}`));
    const followed = follow(world);
    await world.clock.advance(300);
    assert.equal(followed.messages.length, 1);
    for (let number = 0; number < 250; number++) world.write("pos", `d${number}`, number % 5 === 0 ? failing(`d${number}`) : applied(`d${number}`));
    await world.clock.advance(250);
    const { changed = [], moreChanged = [], failures } = followed.last;
    assert.equal(changed.length, 100);
    const more = moreChanged.map(({ standing, failureCode, devices }) => [standing, failureCode, Number(devices)]);
    assert.deepEqual(more.toSorted(), [
      [DeviceStanding.APPLIED, FailureCode.UNSPECIFIED, 120],
      [DeviceStanding.FAILED, FailureCode.EXITS, 30],
    ]);
    assert.deepEqual(
      failures?.map(({ failureCode, devices }) => [failureCode, devices]),
      [[FailureCode.EXITS, 50n]],
    );
  });

  it("the first message names the devices that failed, with the words of the first ones", async () => {
    const world = startWorld();
    for (let number = 0; number < 80; number++) world.write("pos", `d${number}`, failing(`d${number}`, FailureCode.NO_SPACE));
    world.write("pos", "fine", applied("fine"));
    const followed = follow(world);
    await world.clock.advance(0);
    assert.equal(followed.last.changed?.length, 80);
    assert.deepEqual([followed.last.changed?.[0]?.reason, followed.last.changed?.[79]?.reason], ["why d0", undefined]);
    assert.equal(world.counts.reasons, 50);
  });

  it("devices that come, are deleted or change groups are counted as they are", async () => {
    const world = startWorld();
    world.setGroups("web", ["pos", "shop"]);
    world.write("pos", "a", applied("a"));
    world.write("pos", "b", working("b"));
    const followed = follow(world);
    await world.clock.advance(500);
    world.write("pos", "new", device("new"));
    await world.clock.advance(250);
    assert.deepEqual(states(followed.last), { applied: 1, working: 1, waiting: 1 });
    world.write("pos", "b", undefined);
    world.write("pos", "new", undefined);
    world.write("shop", "new", applied("new"));
    await world.clock.advance(10_250);
    assert.deepEqual([followed.verdict, states(followed.last)], [ApplyVerdict.APPLIED, { applied: 2 }]);
    const left = followed.messages.flatMap(({ message }) => message.changed ?? []).filter(({ standing }) => standing === DeviceStanding.UNSPECIFIED);
    assert.deepEqual(
      left.map(({ deviceId, deviceGroup }) => [deviceId, deviceGroup]),
      [
        ["b", "pos"],
        ["new", "pos"],
      ],
    );
  });

  it("groups that gain or lose the app meanwhile are counted from then on, also if the announcement was lost", async () => {
    const world = startWorld();
    world.write("pos", "a", applied("a"));
    world.write("shop", "b", working("b"));
    const followed = follow(world, { timeoutMs: 3_600_000 });
    await world.clock.advance(0);
    world.setGroups("web", ["pos", "shop"]);
    await world.clock.advance(1000);
    assert.deepEqual([states(followed.last), followed.last.groups], [{ applied: 1, working: 1 }, 2n]);
    world.parts.configStore.groupsNaming = async () => ["shop"]; // without an announcement
    await world.clock.advance(20_000);
    assert.deepEqual([states(followed.last), followed.last.groups, world.openViews], [{ working: 1 }, 1n, 1]);
    followed.leave();
    await assert.rejects(followed.ended);
  });

  it("changes of device_groups have the reach read at most once a second, and the last of them is counted a second later at the latest", async () => {
    const world = startWorld();
    world.write("pos", "a", working("a"));
    world.write("shop", "b", working("b"));
    const followed = follow(world, { timeoutMs: 3_600_000 });
    await world.clock.advance(5000);
    const before = world.counts.reachReads;
    for (let step = 0; step < 200; step++) {
      world.setGroups("web", step === 199 ? ["pos", "shop"] : ["pos"]);
      await world.clock.advance(50);
    }
    const reads = world.counts.reachReads - before;
    assert.ok(reads >= 9 && reads <= 11, `${reads} reads for 200 changes in 10 s`);
    await world.clock.advance(950);
    assert.deepEqual([followed.last.groups, states(followed.last)], [2n, { working: 2 }]);
    followed.leave();
    await assert.rejects(followed.ended);
  });

  it("a newer revision is reported with its author, and devices at it count as applied", async () => {
    const world = startWorld();
    world.write("pos", "a", working("a"));
    const followed = follow(world);
    await world.clock.advance(0);
    assert.deepEqual(followed.last.superseded, []);
    world.setEntity({ kind: "app", name: "web" }, 43n, { changedBy: "bob" });
    await world.clock.advance(1000);
    assert.deepEqual(
      followed.last.superseded?.map(({ name, revision, by }) => [name, revision, by]),
      [["web", 43n, "bob"]],
    );
    world.write("pos", "a", device("a", { revision: 43n }));
    await world.clock.advance(10_250);
    assert.equal(followed.verdict, ApplyVerdict.APPLIED);
  });

  it("a revision of 0 is the newest one as the store has it: running, stopped, deleted, and all members of a group", async () => {
    const world = startWorld();
    world.write("pos", "a", device("a", { revision: 42n }));
    const verdict = async (target: MessageInitShape<typeof ApplyTargetSchema>) => {
      const { ended, messages } = follow(world, { targets: [target], timeoutMs: 0 });
      await ended;
      const [only] = messages;
      return [states(only?.message ?? {}), only?.message.revisions];
    };
    const web = { kind: TargetKind.APP, name: "web" };
    assert.deepEqual(await verdict(web), [{ applied: 1 }, [42n]]);
    world.setEntity({ kind: "app", name: "web" }, 42n, { body: toBinary(AppSchema, create(AppSchema, { name: "web", running: false })) });
    assert.deepEqual(await verdict(web), [{ working: 1 }, [42n]]);
    world.setEntity({ kind: "app", name: "web" }, 43n, { deleted: true });
    assert.deepEqual(await verdict(web), [{ waiting: 1 }, [43n]]);
    const body = toBinary(DeviceGroupSchema, create(DeviceGroupSchema, { name: "pos", apps: ["web", "more"] }));
    world.setEntity({ kind: "device_group", name: "pos" }, 0n + 5n, { body });
    assert.deepEqual(await verdict({ kind: TargetKind.DEVICE_GROUP, name: "pos" }), [{ waiting: 1 }, [5n]]);
  });

  it("a target that never existed is not found, one that is not valid is refused, and one that the caller may not read is denied", async () => {
    const world = startWorld();
    const fails = async (targets: MessageInitShape<typeof ApplyTargetSchema>[], kind: NebulaError["kind"], principal = ADMIN) =>
      assert.rejects(follow(world, { targets }, principal).ended, (error) => isNebulaError(error, kind));
    await fails([{ ...WEB, name: "never" }], "not_found");
    await fails([], "invalid_argument");
    await fails([{ ...WEB, verb: ApplyVerb.PRUNE }], "invalid_argument");
    await fails([{ ...WEB, name: "not a name" }], "invalid_argument");
    await fails([{ name: "web" }], "invalid_argument");
    await fails([{ kind: TargetKind.DEVICE_GROUP, name: "pos", added: [{ name: "x" }] }], "invalid_argument");
    await fails([WEB], "permission_denied", { kind: "user", name: "eve", rights: NO_RIGHTS });
    assert.equal(world.openViews, 0);
  });

  it("groups that the caller may not read are a number alone, also when the right ends while the stream is open", async () => {
    const world = startWorld();
    world.setGroups("web", ["pos", "shop"]);
    world.write("pos", "a", applied("a"));
    world.write("shop", "b", failing("b"));
    const reader = (groups: string[]): Principal => ({
      kind: "user",
      name: "ann",
      rights: rightsOf([
        {
          admin: false,
          pruningAllowed: false,
          apps: { web: "ro" },
          cronJobs: {},
          deviceGroups: Object.fromEntries(groups.map((group) => [group, "ro"])),
        },
      ]),
    });
    const followed = follow(world, {}, reader(["pos", "shop"]));
    await world.clock.advance(0);
    assert.deepEqual([states(followed.last), followed.last.unseenGroups], [{ applied: 1, failed: 1 }, 0n]);
    followed.setRights(reader(["pos"]));
    world.write("shop", "c", failing("c"));
    await world.clock.advance(250);
    assert.deepEqual([states(followed.last), followed.last.unseenGroups, followed.last.failures], [{ applied: 1 }, 1n, []]);
    assert.throws(
      () => followed.setRights({ kind: "user", name: "ann", rights: NO_RIGHTS }),
      (error) => isNebulaError(error, "permission_denied"),
    );
    followed.leave();
    await assert.rejects(followed.ended);
  });

  it("a store that does not answer before the verdict ends the stream with unavailable, and the same request is served again", async () => {
    const world = startWorld();
    world.write("pos", "a", applied("a"));
    const followed = follow(world);
    await world.clock.advance(5000);
    world.setAway(true);
    await world.clock.advance(5000);
    await assert.rejects(followed.ended, (error) => isNebulaError(error, "unavailable"));
    assert.deepEqual([world.openViews, world.listeners], [0, 0]);
    world.setAway(false);
    const again = follow(world);
    await world.clock.advance(10_000);
    assert.equal(again.verdict, ApplyVerdict.APPLIED);
  });

  it("a device that moves to another group is counted once, where it is connected, until it reports from there", async () => {
    const world = startWorld();
    world.setGroups("web", ["pos", "shop"]);
    const silent: DeviceInGroup = { ...device("a"), summary: undefined };
    for (const first of ["pos", "shop"]) {
      const second = first === "pos" ? "shop" : "pos";
      world.write(first, "a", device("a", { online: false }));
      const followed = follow(world);
      await world.clock.advance(1000);
      assert.deepEqual(states(followed.last), { offline: 1 });
      world.write(second, "a", silent);
      await world.clock.advance(1000);
      assert.deepEqual([states(followed.last), followed.last.counts?.devices, followed.last.counts?.online], [{ waiting: 1 }, 1n, 1n]);
      const later = follow(world); // it finds both from the start
      await world.clock.advance(1000);
      assert.deepEqual([states(later.last), later.last.counts?.devices], [{ waiting: 1 }, 1n]);
      world.write(second, "a", applied("a"));
      world.write(first, "a", undefined);
      await world.clock.advance(1000);
      for (const { last } of [followed, later]) assert.deepEqual([states(last), last.counts?.devices], [{ applied: 1 }, 1n]);
      await world.clock.advance(20_000);
      assert.equal(followed.verdict, ApplyVerdict.APPLIED);
      assert.equal(later.verdict, ApplyVerdict.APPLIED);
      world.write(second, "a", undefined);
    }
  });

  it("a verdict waits if the re-read before it finds a change that the feed had lost", async () => {
    const world = startWorld();
    world.write("pos", "a", applied("a"));
    const followed = follow(world);
    await world.clock.advance(1000);
    world.write("pos", "a", failing("a"), true);
    await world.clock.advance(9000);
    assert.equal(followed.verdict, undefined);
    assert.deepEqual(states(followed.last), { failed: 1 });
    await world.clock.advance(10_000);
    assert.equal(followed.verdict, ApplyVerdict.FAILED);
  });

  it("WatchApply ends with resource_exhausted when its device_groups grow beyond the room for devices, and gives its room back", async () => {
    const world = startWorld();
    await using small = await startSmallViews(world.clock);
    await small.report("pos-1", "pos");
    const parts = { ...world.parts, groupViews: small.groupViews };
    const context = { principal: ADMIN, signal: new AbortController().signal, keepAllowed() {} };
    const stream = watchApply(parts, create(WatchApplyRequestSchema, { targets: [WEB] }), context);
    assert.equal((await stream.next()).value?.counts?.devices, 1n);
    assert.ok(small.groupViews.bytes > 0);
    const ending = (async () => {
      for await (const { verdict } of stream) assert.equal(verdict, undefined);
    })();
    const ended = assert.rejects(ending, (error) => isNebulaError(error, "resource_exhausted") && (error.retryAfterMs ?? 0) > 0);
    for (let index = 2; index < 30; index++) await small.report(`pos-${index}`, "pos");
    await eventually(() => small.groupViews.mirrors === 0);
    await world.clock.advance(1000);
    await ended;
    assert.deepEqual([small.groupViews.bytes, world.listeners], [0, 0]);
  });

  it("the last message equals a recount from the store: devices do anything, and the feed loses events", async () => {
    const ids = ["a", "b", "c", "d", "e"];
    const event = fc.record({
      group: fc.constantFrom("pos", "shop", "other"),
      id: fc.constantFrom(...ids),
      make: fc.constantFrom<((id: string) => DeviceInGroup) | undefined>(
        undefined,
        device,
        applied,
        working,
        failing,
        (id) => failing(id, FailureCode.NO_SPACE),
        (id) => applied(id, false),
        (id) => working(id, false),
        (id) => device(id, { revision: 43n, applied: 43n }),
        (id) => device(id, { revision: 0n, original: true }),
        (deviceId) => ({ ...device(deviceId), summary: undefined }),
      ),
      lost: fc.boolean(),
      ms: fc.constantFrom(0, 10, 100, 1000, 4000),
      groups: fc.option(fc.subarray(["pos", "shop", "other"]), { freq: 6 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 30 }), async (events) => {
        const world = startWorld();
        for (const id of ids.slice(0, 3)) world.write("pos", id, device(id));
        const followed = follow(world, { timeoutMs: 40_000 });
        let groups: readonly string[] = ["pos"];
        for (const { group, id, make, lost, ms, groups: next } of events) {
          if (next !== null) {
            groups = next;
            world.setGroups("web", [...next]);
          }
          for (const other of ["pos", "shop", "other"]) if (other !== group) world.write(other, id, undefined, lost); // a device is in one group
          const row = make?.(id);
          world.write(group, id, row, lost);
          world.write(group, id, row, lost); // reported twice
          await world.clock.advance(ms);
          if (followed.verdict !== undefined) break;
        }
        await world.clock.advance(60_000);
        await followed.ended;
        const { counts, failures } = followed.last;
        assert.deepEqual(states(followed.last), recount(world, groups));
        assert.equal(
          Number(counts?.devices),
          Object.values(recount(world, groups)).reduce((sum, count) => sum + count, 0),
        );
        assert.equal(
          failures?.reduce((sum, { devices }) => sum + Number(devices), 0),
          recount(world, groups).failed ?? 0,
        );
        assert.deepEqual([world.openViews, world.listeners], [0, 0]);
      }),
      { numRuns: 60 },
    );
  });
});
