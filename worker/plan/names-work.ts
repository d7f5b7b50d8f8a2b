import { oldName, parkedName } from "../names.ts";
import type { OwnedAppContainer } from "../owned.ts";
import type { Step } from "../step.ts";
import { NO_WORK, together, unlessFailing, type Work } from "./farewell.ts";
import type { View } from "./view.ts";

/** Gives the new container its name; whoever of ours has that steps aside. */
export function makeRoom(
  name: string,
  next: OwnedAppContainer,
  old: OwnedAppContainer | undefined,
  unit: string,
  before: readonly Step[],
  view: View,
): Work {
  if (next.container.name === name) return NO_WORK;
  const holder = view.byName.get(name);
  const isTaken = holder !== undefined && !removes(before, holder.id);
  const aside = holder?.id === old?.container.id ? oldName(name) : parkedName(name, holder?.id ?? "");
  return together([isTaken ? rename(holder.id, aside, unit, view) : NO_WORK, rename(next.container.id, name, unit, view)]);
}

/** Gives a container its name back, when that is free or becomes free by earlier steps of the same round. */
export function nameMend({ container }: OwnedAppContainer, name: string, unit: string, before: readonly Step[], view: View): Work {
  if (container.name === name) return NO_WORK;
  const holder = view.byName.get(name);
  if (holder === undefined || removes(before, holder.id)) return rename(container.id, name, unit, view);
  const isOnItsWayOut = before.some((step) => "containerId" in step && step.containerId === holder.id);
  if (!view.ownedIds.has(holder.id) || isOnItsWayOut) return NO_WORK;
  // Two of ours with each other's names: one steps aside, and gets its own name at the next look.
  return rename(holder.id, parkedName(name, holder.id), unit, view);
}

function removes(steps: readonly Step[], containerId: string): boolean {
  return steps.some((step) => step.kind === "remove" && step.containerId === containerId);
}

export function rename(containerId: string, name: string, unit: string, view: View): Work {
  return unlessFailing({ kind: "rename", unit, key: `rename ${containerId}`, containerId, name }, view);
}
