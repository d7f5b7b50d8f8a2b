/**
 * FleetService: a fleet in numbers, as far as the caller may read it.
 *
 * O1 Looks at all groups are LEAST_MS apart. A look says what changed since the look before; messages with as many groups as have room in one send that, one after
 *    another, with the numbers of each group as of its message. Unchanged parts are not sent.
 * O2 Only groups, members and changes that the caller may read now are shown, and counted.
 * O3 A stream keeps of each group that it sent a hash alone: the messages of all streams are in no limit of memory.
 */
import { hash } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { create, equals, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Alarm } from "../../../common/clock/alarm.ts";
import type { Clock } from "../../../common/clock/clock.ts";
import { assertNoViolations, type Violation } from "../../../common/errors/nebula-error.ts";
import { mostFrequent, move } from "../../../common/insight/device-tally.ts";
import { targetKindOf } from "../../../common/resources/target-kind.ts";
import { type EntityKey, keyText } from "../../../common/storage/config-store.ts";
import { noSuch } from "../../../common/text/no-such.ts";
import { pageOf, pageTokenViolation, validatePage } from "../../../common/validation/list-request.ts";
import { isName, validateName } from "../../../common/validation/names.ts";
import {
  type FleetOverview,
  FleetOverviewSchema,
  type FleetService,
  type GroupOverview,
  GroupOverviewSchema,
  type MayCreate,
  MayCreateSchema,
  type NewestRevisionSchema,
  type RecentChanges,
  RecentChangesSchema,
  type WatchOverviewResponseSchema,
} from "../../../gen/nebula/v1/fleet_pb.ts";
import type { FailureCode } from "../../../gen/nebula/v1/report_pb.ts";
import type { Principal } from "../../access/principal.ts";
import { assertMayReadGroups, isPermitted } from "../../access/rights/permit.ts";
import { groupKey, mayCreate, mayWrite } from "../../access/rights/rights.ts";
import { lastChangeOf, REVISION_ACTIONS } from "../../entities/revisions.ts";
import type { ServiceHandlers, ServiceStreams, StreamContext } from "../../rpc/call-context.ts";
import { changeOf, kindOfEntry } from "../history-service.ts";
import { atOf, CHANGES_MS } from "./changes-log.ts";
import { type EntityState, entitiesOf, existsOrHasDevices, type FleetView, type FleetViews, type GroupInFleet } from "./fleet-view.ts";
import { addCounts, countsMessage, noDevices } from "./group-standing.ts";

const LEAST_MS = 250;
/** How often time alone is looked at: changes leave the last hour. Milliseconds. */
const LOOK_MS = 10_000;
/** Groups that a request names; those that a message holds, and names of groups that left. */
const MOST_NAMED = 100;
const MOST_GROUPS = 200;
/** Groups and members that a message, or a page, holds, but for one group at least. */
const MOST_ROWS = 10_000;
/** Changes of an answer. */
const MOST_CHANGES = 50;
/** Device_groups whose enrolment tokens the caller may make, of an answer. */
const MOST_ENROLMENT_GROUPS = 8;
/** Versions and problems of an answer. */
const MOST_SHOWN = 20;

export type OverviewParts = Readonly<{ fleetViews: FleetViews; clock: Clock }>;

type Asked = Readonly<{ deviceGroups: readonly string[]; members: boolean }>;
type Message = MessageInitShape<typeof WatchOverviewResponseSchema>;

export function createFleetServiceHandlers({ fleetViews, clock }: OverviewParts): ServiceHandlers<typeof FleetService> {
  return {
    async getOverview(request, { principal, signal }) {
      assertNoViolations([...groupsViolations(request.deviceGroups), ...pageViolations(request)]);
      assertMayReadGroups(principal, request.deviceGroups);
      using view = fleetViews.open((name) => isAsked(name, request, principal));
      await view.ready(signal);
      assertExist(view, request);
      const shown = shownGroups(view, request, principal);
      const { after = "", limit } = pageOf(request);
      const rest = shown.filter(({ deviceGroup }) => deviceGroup > after);
      const page = rest.slice(0, Math.min(limit, groupsThatFit(rest, request)));
      return {
        fleet: fleetOf(shown),
        groups: page.map((group) => groupOverview(group, request.members, principal)),
        recentChanges: recentChanges(view, shown, principal, clock.now()),
        mayCreate: creatable(view, shown, request, principal),
        nextPageToken: rest.length > page.length ? (page.at(-1)?.deviceGroup ?? "") : "",
      };
    },
  };
}

export function createFleetServiceStreams(parts: OverviewParts): ServiceStreams<typeof FleetService> {
  return { watchOverview: (request, context) => watchOverview(parts, request, context) };
}

/** The messages of one WatchOverview. */
export async function* watchOverview(
  { fleetViews, clock }: OverviewParts,
  request: Asked,
  context: Pick<StreamContext, "principal" | "signal" | "keepAllowed">,
): AsyncGenerator<Message, void> {
  assertNoViolations(groupsViolations(request.deviceGroups));
  assertMayReadGroups(context.principal, request.deviceGroups);
  const { signal } = context;
  const alarm = new Alarm(clock);
  let { principal } = context;
  context.keepAllowed((now) => {
    assertMayReadGroups(now, request.deviceGroups);
    if (isDeepStrictEqual(now, principal)) return; // access changed for others
    principal = now; // O2
    alarm.ring();
  });
  using view = fleetViews.open((name) => isAsked(name, request, principal));
  using _ = view.onChange(() => alarm.ring());
  let state: "counting" | "ready" | Readonly<{ error: unknown }> = "counting";
  view.ready(signal).then(
    () => {
      state = "ready";
      alarm.ring();
    },
    (error: unknown) => {
      state = { error };
      alarm.ring();
    },
  );
  const readState = (): typeof state => state; // it changes meanwhile
  const writer = new OverviewWriter(view, request);
  let isReady = false;
  for (;;) {
    signal.throwIfAborted();
    const now = readState();
    if (typeof now === "object") throw now.error;
    if (now === "ready" && !isReady) assertExist(view, request); // one that is removed later leaves
    isReady = now === "ready";
    const message = writer.next(principal, clock.now(), isReady);
    if (message !== undefined) yield message;
    if (writer.hasMore) {
      await turn(); // nothing else does where no group differs from what was sent
      continue;
    }
    await clock.sleep(LEAST_MS, signal); // O1
    await alarm.wait(LOOK_MS, signal);
  }
}

/** The parts of an overview that a reader has, and those that have to be sent. */
class OverviewWriter {
  readonly #view: FleetView;
  readonly #asked: Asked;
  /** By name. O3: `digest` is of the overview. */
  readonly #sent = new Map<string, { readonly stamp: number; readonly group: GroupInFleet; readonly digest: string }>();
  #fleet: FleetOverview | undefined;
  #changes: RecentChanges | undefined;
  #mayCreate: MayCreate | undefined;
  /** Those for whom the newest look was made. */
  #principal: Principal | undefined;
  /** Groups that changed, and names of those that left, as of the newest look, which were not sent yet. */
  #changed: readonly GroupInFleet[] = [];
  #left: readonly string[] = [];
  /** Whether all groups were counted when the newest look was made. */
  #isReady = false;
  #wasComplete = false;

  constructor(view: FleetView, asked: Asked) {
    this.#view = view;
    this.#asked = asked;
  }

  /** Whether groups, or names of those that left, wait for the next message. */
  get hasMore(): boolean {
    return this.#changed.length + this.#left.length > 0;
  }

  /** The next message; undefined if nothing changed. */
  next(principal: Principal, nowMs: number, isReady: boolean): Message | undefined {
    const numbers = this.hasMore ? {} : this.#look(principal, nowMs, isReady);
    const left = this.#left.slice(0, MOST_GROUPS);
    this.#left = this.#left.slice(MOST_GROUPS);
    for (const name of left) this.#sent.delete(name);
    const groups = this.#takeGroups(principal);
    const complete = this.#isReady && !this.hasMore;
    if (groups.length + left.length === 0 && Object.keys(numbers).length === 0 && complete === this.#wasComplete) return undefined;
    this.#wasComplete = complete;
    return { groups, left, complete, ...numbers };
  }

  /** Goes through all groups once, and answers the numbers of all together, as far as they changed (O1). */
  #look(principal: Principal, nowMs: number, isReady: boolean): Message {
    const shown = shownGroups(this.#view, this.#asked, principal);
    const isOther = principal !== this.#principal; // members of each group are to be read again
    this.#principal = principal;
    this.#isReady = isReady;
    const names = new Set(shown.map(({ deviceGroup }) => deviceGroup));
    this.#left = [...this.#sent.keys()].filter((name) => !names.has(name));
    this.#changed = shown.filter((group) => {
      const before = this.#sent.get(group.deviceGroup);
      return isOther || before?.group !== group || before.stamp !== group.stamp;
    });
    const fleet = create(FleetOverviewSchema, fleetOf(shown));
    const changes = create(RecentChangesSchema, recentChanges(this.#view, shown, principal, nowMs));
    const isNewFleet = this.#fleet === undefined || !equals(FleetOverviewSchema, this.#fleet, fleet);
    const areNewChanges = this.#changes === undefined || !equals(RecentChangesSchema, this.#changes, changes);
    const mayCreate = create(MayCreateSchema, creatable(this.#view, shown, this.#asked, principal));
    const isNewRight = this.#mayCreate === undefined || !equals(MayCreateSchema, this.#mayCreate, mayCreate);
    this.#fleet = fleet;
    this.#changes = changes;
    this.#mayCreate = mayCreate;
    return { ...(isNewFleet ? { fleet } : {}), ...(areNewChanges ? { recentChanges: changes } : {}), ...(isNewRight ? { mayCreate } : {}) };
  }

  /** As many of the groups that changed as a message has room for, without those that are as they were sent. */
  #takeGroups(principal: Principal): GroupOverview[] {
    const count = Math.min(MOST_GROUPS, groupsThatFit(this.#changed, this.#asked));
    const taken = this.#changed.slice(0, count);
    this.#changed = this.#changed.slice(count);
    const groups: GroupOverview[] = [];
    for (const group of taken) {
      const { deviceGroup, stamp } = group;
      if (this.#view.groups.get(deviceGroup) !== group || !isShown(group, this.#asked, principal)) continue; // O2; the next look has it
      const overview = create(GroupOverviewSchema, groupOverview(group, this.#asked.members, principal));
      const digest = hash("sha256", toBinary(GroupOverviewSchema, overview), "base64");
      if (digest !== this.#sent.get(deviceGroup)?.digest) groups.push(overview);
      this.#sent.set(deviceGroup, { stamp, group, digest });
    }
    return groups;
  }
}

// --- what an overview is made of

function isAsked(name: string, { deviceGroups }: Pick<Asked, "deviceGroups">, principal: Principal): boolean {
  return (deviceGroups.length === 0 || deviceGroups.includes(name)) && mayRead(principal, groupKey(name));
}

function mayRead(principal: Principal, entity: EntityKey): boolean {
  return isPermitted(principal, { kind: "read", entity }, false);
}

/** Whether a group exists or has devices, and was counted or has no room (O2). */
function isShown(group: GroupInFleet, asked: Asked, principal: Principal): boolean {
  const wasCounted = group.standing !== undefined || group.isUncounted;
  return wasCounted && existsOrHasDevices(group) && isAsked(group.deviceGroup, asked, principal);
}

/** By name. */
function shownGroups(view: FleetView, asked: Asked, principal: Principal): GroupInFleet[] {
  const shown = [...view.groups.values()].filter((group) => isShown(group, asked, principal));
  return shown.sort((a, b) => (a.deviceGroup < b.deviceGroup ? -1 : 1));
}

function creatable(
  view: FleetView,
  shown: readonly GroupInFleet[],
  { deviceGroups }: Pick<Asked, "deviceGroups">,
  principal: Principal,
): MessageInitShape<typeof MayCreateSchema> {
  if (principal.kind !== "user") return {};
  const { rights } = principal;
  const areAllSeen = deviceGroups.length === 0;
  const groupExists = (name: string) => !areAllSeen || view.groups.get(name)?.config !== undefined;
  const enrolmentGroups: string[] = [];
  for (const { deviceGroup, config } of shown) {
    if (enrolmentGroups.length === MOST_ENROLMENT_GROUPS) break;
    if (config !== undefined && mayWrite(rights, groupKey(deviceGroup))) enrolmentGroups.push(deviceGroup);
  }
  return { apps: mayCreate(rights, "app", () => true), deviceGroups: mayCreate(rights, "device_group", groupExists), enrolmentGroups };
}

function fleetOf(groups: readonly GroupInFleet[]): MessageInitShape<typeof FleetOverviewSchema> {
  const counts = noDevices();
  const failures = new Map<FailureCode, number>();
  const versions = new Map<string, number>();
  const problems = new Map<string, number>();
  let [neverCame, original, uncounted] = [0, 0, 0];
  for (const { standing, neverCame: ofGroup, isUncounted } of groups) {
    neverCame += ofGroup;
    if (isUncounted) uncounted++;
    if (standing === undefined) continue;
    addCounts(counts, standing.counts);
    for (const [code, devices] of standing.failures) move(failures, code, devices);
    for (const [version, devices] of standing.versions) move(versions, version, devices);
    for (const [code, devices] of standing.problems) move(problems, code, devices);
    original += standing.original;
  }
  return {
    states: countsMessage(counts, neverCame),
    failureCodes: failureCodesOf(failures),
    workerVersions: mostFrequent(versions, MOST_SHOWN).map(([workerVersion, devices]) => ({ workerVersion, devices })),
    problems: mostFrequent(problems, MOST_SHOWN).map(([code, devices]) => ({ code, devices })),
    deviceGroups: BigInt(groups.length),
    uncountedGroups: BigInt(uncounted),
    original: BigInt(original),
  };
}

function failureCodesOf(failures: ReadonlyMap<FailureCode, number>) {
  return mostFrequent(failures).map(([failureCode, devices]) => ({ failureCode, devices }));
}

/** How many of these groups have MOST_ROWS rows, from the first on; one at least. */
function groupsThatFit(groups: readonly GroupInFleet[], { members }: Pick<Asked, "members">): number {
  let rows = 0;
  const last = groups.findIndex(({ config }) => {
    rows += 1 + (members ? (config?.members.length ?? 0) : 0);
    return rows > MOST_ROWS;
  });
  return last < 0 ? groups.length : Math.max(1, last);
}

function groupOverview(group: GroupInFleet, withMembers: boolean, principal: Principal): MessageInitShape<typeof GroupOverviewSchema> {
  const { deviceGroup, config, standing, neverCame, isUncounted } = group;
  const readable = entitiesOf(config).filter((entity) => mayRead(principal, entity));
  const newest = readable.reduce<EntityState | undefined>(
    (latest, each) => (latest === undefined || each.changedAt > latest.changedAt ? each : latest),
    undefined,
  );
  const members = withMembers ? readable.filter(({ kind }) => kind !== "device_group") : [];
  return {
    deviceGroup,
    revision: config?.group.revision ?? 0n,
    states: countsMessage(standing?.counts ?? noDevices(), neverCame),
    failureCodes: failureCodesOf(standing?.failures ?? new Map()),
    ...(newest === undefined ? {} : { newestChange: revisionMessage(newest) }),
    members: members
      .sort((a, b) => (keyText(a) < keyText(b) ? -1 : 1))
      .map((member) => ({ newest: revisionMessage(member), states: countsMessage(standing?.ofMember(keyText(member)) ?? noDevices()) })),
    uncounted: isUncounted,
  };
}

function revisionMessage(entity: EntityState): MessageInitShape<typeof NewestRevisionSchema> {
  const { kind, name, revision, action } = entity;
  return { kind: targetKindOf(kind), name, revision, action: REVISION_ACTIONS[action], change: lastChangeOf(entity) };
}

function recentChanges(
  view: FleetView,
  shown: readonly GroupInFleet[],
  principal: Principal,
  nowMs: number,
): MessageInitShape<typeof RecentChangesSchema> {
  const byName = new Map(shown.map((group) => [group.deviceGroup, group]));
  const readable = view.changes.filter((entry) => {
    const kind = kindOfEntry(entry);
    return kind !== undefined && atOf(entry) > nowMs - CHANGES_MS && mayRead(principal, { kind, name: entry.name });
  });
  const newest = new Map<string, bigint>();
  for (const { kind, name, revisionAfter } of readable) {
    const key = `${kind}/${name}`;
    if (revisionAfter > (newest.get(key) ?? 0n)) newest.set(key, revisionAfter);
  }
  const changes = readable.slice(0, MOST_CHANGES).map((entry) => {
    const key = { kind: kindOfEntry(entry) ?? "app", name: entry.name };
    const newestRevision = view.newestOf(key)?.revision ?? 0n;
    const superseded = newestRevision > entry.revisionAfter || (newest.get(keyText(key)) ?? 0n) > entry.revisionAfter;
    const states = superseded ? undefined : statesOf(view, key, byName);
    return { change: changeOf(entry), superseded, ...(states === undefined ? {} : { states }) };
  });
  return { changes, more: readable.length > changes.length || view.hasMoreChanges };
}

/** The devices that the newest revision of an entity reaches, in the groups that are shown; undefined if it reaches none of these. */
function statesOf(view: FleetView, key: EntityKey, shown: ReadonlyMap<string, GroupInFleet>) {
  const counts = noDevices();
  let isReached = false;
  for (const name of view.groupsOf(key)) {
    const standing = shown.get(name)?.standing;
    const ofEntity = key.kind === "device_group" ? standing?.counts : standing?.ofMember(keyText(key));
    if (ofEntity === undefined) continue;
    isReached = true;
    addCounts(counts, ofEntity);
  }
  return isReached ? countsMessage(counts) : undefined;
}

// --- requests

/** Throws `not_found` where a group that the request names does not exist and has no devices. */
function assertExist(view: FleetView, { deviceGroups }: Pick<Asked, "deviceGroups">): void {
  const exists = (name: string) => {
    const group = view.groups.get(name);
    return group !== undefined && existsOrHasDevices(group);
  };
  const missing = deviceGroups.find((name) => !exists(name));
  if (missing !== undefined) throw noSuch("device_group", missing);
}

function groupsViolations(names: readonly string[]): Violation[] {
  if (names.length > MOST_NAMED) return [{ field: "device_groups", description: `has ${names.length} entries; use at most ${MOST_NAMED}` }];
  return names.flatMap((name, index) => validateName(name, `device_groups[${index}]`));
}

function pageViolations(request: Readonly<{ pageSize: number; pageToken: string }>): Violation[] {
  const { pageToken } = request;
  return [...validatePage(request), ...(pageToken === "" || isName(pageToken) ? [] : [pageTokenViolation(pageToken)])];
}
