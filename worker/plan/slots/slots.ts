import type { DesiredInstance, RunningApp } from "../../../common/desired/desired.ts";
import { placesOf, progressOf } from "../../../common/desired/places.ts";
import { compareSpecLabel } from "../../../common/desired/spec-hash.ts";
import { appContainerName } from "../../observed/names.ts";
import { appUnit, isUp, type OwnedAppContainer } from "../../observed/owned.ts";
import { fits, fitsItsLabel } from "../spec-match.ts";
import type { StepName } from "../states.ts";
import type { View } from "../view.ts";

type SlotBase = Readonly<{
  app: RunningApp;
  instance: DesiredInstance;
  /** The name that its container should have. */
  name: string;
  /** Identifies the slot with its spec among the failures that are remembered. */
  place: string;
  /** The lane of its steps. */
  lane: string;
  /** Its containers of the wanted spec, the one to keep first. */
  right: readonly OwnedAppContainer[];
  /** Its containers of another spec: the one to fall back to, undefined if absent, and the others. */
  old: OwnedAppContainer | undefined;
  others: readonly OwnedAppContainer[];
  /** `old` and `others` together. */
  wrong: readonly OwnedAppContainer[];
}>;

/** The place of one container of an app: (app, index). The kind says how far its replacement is. */
export type Slot = SlotBase &
  Readonly<
    | BusySlot
    /** The wanted container runs. `copies`: more of the wanted spec. */
    | { kind: "settled"; keep: OwnedAppContainer; copies: readonly OwnedAppContainer[] }
    /** The wanted container is made, and does not run. */
    | { kind: "exchanging"; next: OwnedAppContainer; copies: readonly OwnedAppContainer[] }
    /** There is no container of the wanted spec. */
    | { kind: "wanted" }
  >;

/**
 * A step of the slot is under way, or one of its containers is being stopped, restarted or removed, or cannot be
 * inspected: no step touches it. `waitsFor`: the step that ends this.
 */
type BusySlot = { kind: "busy"; waitsFor: StepName };

export type SlotOf<Kind extends Slot["kind"]> = Extract<Slot, { kind: Kind }>;

/** The slots of an app, index 1 first, and its containers that have no place (any more). */
export function slotsOf(
  app: RunningApp,
  containers: readonly OwnedAppContainer[],
  view: View,
): { slots: readonly Slot[]; surplus: readonly OwnedAppContainer[] } {
  const { at, surplus } = placesOf(app.instances.length, containers);
  return { slots: app.instances.map((instance) => slotOf(app, instance, at(instance.index), view)), surplus };
}

function slotOf(app: RunningApp, instance: DesiredInstance, containers: readonly OwnedAppContainer[], view: View): Slot {
  const unit = appUnit(app.name);
  const name = appContainerName(view.identity.instance, app.name, instance.index);
  const ordered = [...containers].sort((a, b) => preference(b, name) - preference(a, name) || b.container.createdAt - a.container.createdAt);
  const right = ordered.filter((owned) => owned.container.phase !== "dead" && isRight(owned, app, instance, view));
  const wrong = ordered.filter((owned) => !right.includes(owned));
  const old = wrong.find(({ container }) => container.phase !== "dead");
  const others = wrong.filter((owned) => owned !== old);
  const lane = `${unit} ${instance.index}`;
  const base: SlotBase = { app, instance, name, place: `${lane} ${instance.hash}`, lane, right, old, others, wrong };
  const busy = busyWith(base, view);
  if (busy !== undefined) return { ...base, ...busy };
  const [first, ...copies] = right;
  const kind = progressOf(right, ({ container }) => isUp(container.phase));
  if (first === undefined || kind === "wanted") return { ...base, kind: "wanted" };
  return kind === "settled" ? { ...base, kind, keep: first, copies } : { ...base, kind, next: first, copies };
}

function busyWith({ lane, right, wrong }: SlotBase, { observed: { jobs }, unknownIds }: View): BusySlot | undefined {
  const own = [...right, ...wrong].map(({ container }) => container);
  if (own.some(({ id }) => jobs.stops.has(id))) return { kind: "busy", waitsFor: "stop" };
  if (own.some(({ phase }) => phase === "removing")) return { kind: "busy", waitsFor: "remove" };
  if (own.some(({ id }) => unknownIds.has(id))) return { kind: "busy", waitsFor: "inspect" };
  if (!jobs.lanes.has(lane) && !own.some(({ id }) => jobs.touched.has(id))) return undefined;
  return { kind: "busy", waitsFor: right.length > 0 ? "start" : "create" };
}

/** An up container before one that is down, a healthy one before others, the one with the right name before others. */
function preference({ container }: OwnedAppContainer, name: string): number {
  return (
    (isUp(container.phase) ? 4 : 0) +
    (container.health === "unhealthy" || container.phase === "restarting" ? 0 : 2) +
    (container.name === name ? 1 : 0)
  );
}

/** Whether the pull that failed when a container was made has succeeded since, and brought another image. */
function isOvertaken({ isStale, container }: OwnedAppContainer, app: RunningApp, view: View): boolean {
  const pulled = view.memory.pulled.get(appUnit(app.name));
  if (!isStale || pulled === undefined || pulled.change !== app.change) return false;
  return pulled.brought.kind === "known" && pulled.brought.id !== container.imageId;
}

function isRight(owned: OwnedAppContainer, app: RunningApp, instance: DesiredInstance, view: View): boolean {
  if (isOvertaken(owned, app, view)) return false;
  const named = compareSpecLabel(owned.specLabel, { spec: instance.spec, restartCount: app.restartCount });
  if (named === "different") return false;
  if (named === "same" && view.memory.adopted.has(owned.container.id)) return true;
  const compared = view.observed.compared.get(owned.container.id);
  if (compared === undefined) return true; // a comparison that is not known yet does not replace a running container
  return named === "same" ? fitsItsLabel(compared, instance.spec) : fits(compared, instance.spec, !owned.original);
}

/** The container of the wanted spec that is up; undefined if absent. */
export function upRight({ right }: Slot): OwnedAppContainer | undefined {
  return right.find(({ container }) => isUp(container.phase));
}
