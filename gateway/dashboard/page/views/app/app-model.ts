/** The part of the API's answers that the view of an app shows, and what its actions ask for. Pure. */
import { planText } from "../../../../../common/insight/text/plan-text.ts";
import { rollbackText } from "../../../../../common/insight/text/rollback-text.ts";
import { entityKindOf } from "../../../../../common/resources/target-kind.ts";
import type { GetOverviewResponse } from "../../../../../gen/nebula/v1/fleet_pb.ts";
import type { RollbackResponse } from "../../../../../gen/nebula/v1/history_pb.ts";
import { PlannedVerb, type PlanResponse } from "../../../../../gen/nebula/v1/plan_pb.ts";
import { devicesAddress, targetText } from "../../addresses/devices-filter.ts";
import { groupAddress } from "../../addresses/entity-addresses.ts";
import { commandLine, formatCount } from "../../parts/format.ts";
import { devicesOf, type StateCount, stateCounts } from "../overview/overview-model.ts";

/** A device_group that runs an app. */
export type PlaceLine = Readonly<{
  group: string;
  to: string;
  /** Undefined: they were not counted, for lack of room. */
  devices: bigint | undefined;
  /** Where these are listed. */
  listed: string;
  /** Empty: not counted. */
  states: readonly StateCount[];
}>;

/** The device_groups that have an app, with the devices by how far its newest revision is there. */
export function placesOf(app: string, { groups }: GetOverviewResponse): readonly PlaceLine[] {
  const target = targetText({ kind: "app", name: app });
  return groups.flatMap(({ deviceGroup, members, uncounted }) => {
    const member = members.find(({ newest }) => newest?.name === app && entityKindOf(newest.kind) === "app");
    if (member === undefined) return [];
    const counted = uncounted
      ? { devices: undefined, states: [] }
      : { devices: devicesOf(member.states), states: stateCounts(member.states, { group: deviceGroup, target }) };
    return [{ group: deviceGroup, to: groupAddress(deviceGroup), listed: devicesAddress({ group: deviceGroup, target }), ...counted }];
  });
}

/** Devices of all places of an app by state, those that were not counted left out: of the others there is no list then. */
export function totalOf(app: string, places: readonly PlaceLine[]): readonly StateCount[] {
  const isWhole = places.every(({ devices }) => devices !== undefined);
  return stateCounts(undefined, isWhole ? { target: targetText({ kind: "app", name: app }) } : undefined).map((empty) => ({
    ...empty,
    count: places.reduce((sum, { states }) => sum + (states.find(({ state }) => state === empty.state)?.count ?? 0n), 0n),
  }));
}

/** That some places are not in the total; undefined: all are. */
export function uncountedText(places: readonly PlaceLine[]): string | undefined {
  const uncounted = places.filter(({ devices }) => devices === undefined).length;
  if (uncounted === 0) return undefined;
  return `${formatCount(uncounted)} of the groups ${uncounted === 1 ? "was" : "were"} not counted, for lack of room: their devices are in no number.`;
}

export type Verb = "start" | "stop" | "restart";

export const PLANNED_VERBS: Readonly<Record<Verb, PlannedVerb>> = {
  start: PlannedVerb.START,
  stop: PlannedVerb.STOP,
  restart: PlannedVerb.RESTART,
};

/** The line of nebulactl that does a verb of the app as it was planned. */
export function verbLine(verb: Verb, app: string, revision: bigint): string {
  return commandLine(["nebulactl", "apps", verb, app, "--if-revision", String(revision)]);
}

/** @param secrets whether the values of secret_env_vars come back, too */
export function rollbackLine(app: string, to: bigint, secrets: boolean): string {
  return commandLine(["nebulactl", "rollback", `app/${app}`, "--to", String(to), ...(secrets ? ["--secrets"] : [])]);
}

/** The choice that a rollback has besides, in words; undefined: its older body has no other secret values. @param secrets whether that was chosen */
export function secretsChoice({ keptSecrets }: RollbackResponse, secrets: boolean): string | undefined {
  return secrets || keptSecrets.length > 0 ? "Bring the older values of secret_env_vars back, too" : undefined;
}

/** A rollback as nebulactl tells it before it asks. @param plan absent: the caller may not see what devices do */
export function rollbackPlanText(app: string, planned: RollbackResponse, plan: PlanResponse | undefined, now: number): string {
  const reach = plan === undefined ? "" : planText({ ...plan, entities: [] }, now);
  return `${rollbackText({ kind: "app", name: app }, planned, false)}${reach}`;
}
