import type { DesiredInstance, RunningApp } from "../model.ts";
import { appContainerName } from "../names.ts";
import { appUnit, isUp, type OwnedAppContainer } from "../owned.ts";
import type { ObservedContainer } from "../runtime/container-runtime.ts";
import { compareSpecLabel } from "../spec-hash.ts";
import { fits, fitsItsLabel } from "./adoption.ts";
import type { View } from "./view.ts";

/** The place of one container of an app: which containers stand there, and which of them are what is wanted. */
export type Slot = Readonly<{
  app: RunningApp;
  instance: DesiredInstance;
  name: string;
  /** Of the wanted spec, the one to keep first. */
  right: readonly OwnedAppContainer[];
  /** Of another spec, the one to fall back to first. */
  wrong: readonly OwnedAppContainer[];
  /** Its steps are under way, or one of its containers is being stopped, restarted or removed, or cannot be inspected: nothing is done here meanwhile. */
  busy: boolean;
}>;

/** The lane of a slot's steps. */
export function slotLane(unit: string, index: number): string {
  return `${unit} ${index}`;
}

/** The slots of an app, index 1 first, and its containers that have no place (any more). */
export function slotsOf(
  app: RunningApp,
  containers: readonly OwnedAppContainer[],
  view: View,
): { slots: readonly Slot[]; surplus: readonly OwnedAppContainer[] } {
  const byIndex = new Map<number, OwnedAppContainer[]>();
  const surplus: OwnedAppContainer[] = [];
  for (const owned of containers) {
    const index = owned.index ?? 0;
    if (index < 1 || index > app.instances.length) surplus.push(owned);
    else byIndex.set(index, [...(byIndex.get(index) ?? []), owned]);
  }
  const slots = app.instances.map((instance) => slotOf(app, instance, byIndex.get(instance.index) ?? [], view));
  return { slots, surplus };
}

function slotOf(app: RunningApp, instance: DesiredInstance, containers: readonly OwnedAppContainer[], view: View): Slot {
  const name = appContainerName(view.identity.instance, app.name, instance.index);
  const ordered = [...containers].sort((a, b) => preference(b, name) - preference(a, name) || b.container.createdAt - a.container.createdAt);
  const right = ordered.filter((owned) => owned.container.phase !== "dead" && isRight(owned, app, instance, view));
  const { stops, touched, lanes } = view.observed.jobs;
  const isBusy = ({ id, phase }: ObservedContainer) => phase === "removing" || stops.has(id) || touched.has(id) || view.unknownIds.has(id);
  const busy = lanes.has(slotLane(appUnit(app.name), instance.index)) || containers.some(({ container }) => isBusy(container));
  return { app, instance, name, right, wrong: ordered.filter((owned) => !right.includes(owned)), busy };
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
  if (compared === undefined) return true; // not known yet is no reason to replace what runs
  return named === "same" ? fitsItsLabel(compared, instance.spec) : fits(compared, instance.spec, !owned.original);
}

/** The right container that is up; undefined: there is none. */
export function upRight(slot: Slot): OwnedAppContainer | undefined {
  return slot.right.find(({ container }) => isUp(container.phase));
}
