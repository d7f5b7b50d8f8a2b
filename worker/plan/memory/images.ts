import type { Desired } from "../../../common/desired/desired.ts";
import type { Now, Observed, PullWanter } from "../../observed/observed.ts";
import { appUnit, cronJobUnit, type Owned } from "../../observed/owned.ts";

import type { Heir, StepOutcome } from "../step.ts";
import type { Memory } from "./memory.ts";
import { pullFailure } from "./retry.ts";

const MOST_IMAGES_KEPT = 20;
const HOUR_MS = 60 * 60_000;

export function rememberPull(
  memory: Memory,
  { unit, image, change, restartCount, failureKey }: PullWanter,
  present: ReadonlySet<string>,
  outcome: Exclude<StepOutcome, { kind: "aborted" }>,
  now: Now,
): Memory {
  const failures = new Map(memory.failures);
  const pulled = new Map(memory.pulled);
  if (outcome.kind === "done") {
    failures.delete(failureKey);
    const isFirst = pulled.get(unit)?.change !== change;
    pulled.set(unit, { image, change, restartCount, brought: { kind: "unknown", present, isFirst }, used: false });
    return { ...memory, failures, pulled };
  }
  // The image of an earlier pull for this spec counts no more: the next container is made of what is on the device.
  if (pulled.get(unit)?.change === change) pulled.delete(unit);
  return { ...memory, pulled, failures: failures.set(failureKey, pullFailure(failures.get(failureKey), unit, image, outcome, now)) };
}

export function markUsed(pulled: Memory["pulled"], unit: string): Memory["pulled"] {
  const entry = pulled.get(unit);
  return entry === undefined || entry.used ? pulled : new Map([...pulled, [unit, { ...entry, used: true }]]);
}

/**
 * Notes which image each pull brought that has ended since the last look, and adds it to its unit's history, but for
 * one that was on the device before: that is somebody else's.
 */
export function withPulledImages(memory: Memory, { images }: Observed, owned: readonly Owned[]): Pick<Memory, "pulled" | "imageHistory"> {
  let { pulled, imageHistory } = memory;
  for (const [unit, entry] of pulled) {
    if (entry.brought.kind === "known") continue;
    const { image, brought, used } = entry;
    const id = images.find(({ references }) => references.includes(image))?.id;
    if (id === undefined) continue;
    const isUsed = brought.isFirst && owned.some((made) => made.isStale && made.container.imageId === id && unitOf(made) === unit);
    pulled = new Map([...pulled, [unit, { ...entry, brought: { kind: "known", id }, used: used || isUsed }]]);
    const isOurs = [...imageHistory.values()].some((history) => history.some((known) => known.id === id));
    if (!isOurs && brought.present?.has(id) !== false) continue;
    const known = imageHistory.get(unit) ?? [];
    imageHistory = new Map([...imageHistory, [unit, [...known.filter((other) => other.id !== id), { image, id }].slice(-MOST_IMAGES_KEPT)]]);
  }
  return { pulled, imageHistory };
}

/**
 * Since when units that something is kept of are neither in the config nor on the device. Whole hours are kept: they
 * change seldom.
 */
export function unitsGone(memory: Memory, desired: Desired, owned: readonly Owned[], now: Now): Pick<Memory, "goneSince" | "goneHours"> {
  const { pulled, imageHistory } = memory;
  const apps = desired.apps.flatMap(({ kind, name }) => (kind === "gone" ? [] : [appUnit(name)]));
  const cronJobs = desired.cronJobs.flatMap(({ kind, name }) => (kind === "gone" ? [] : [cronJobUnit(name)]));
  const present = new Set([...apps, ...cronJobs, ...owned.map(unitOf)]);
  const gone = [...new Set([...pulled.keys(), ...imageHistory.keys()])].filter((unit) => !present.has(unit));
  const before = (unit: string) => (memory.goneHours.get(unit) ?? 0) * HOUR_MS;
  const goneSince = new Map(gone.map((unit) => [unit, memory.goneSince.get(unit) ?? now.monotonic - before(unit)]));
  const goneHours = new Map([...goneSince].map(([unit, since]) => [unit, Math.floor((now.monotonic - since) / HOUR_MS)]));
  const isSame = goneHours.size === memory.goneHours.size && [...goneHours].every(([unit, hours]) => memory.goneHours.get(unit) === hours);
  return { goneSince, goneHours: isSame ? memory.goneHours : goneHours };
}

/** An image that another unit uses is removed with that one. */
export function withoutUnit(memory: Memory, unit: string, heirs: readonly Heir[]): Memory {
  const without = <T>(map: ReadonlyMap<string, T>) => new Map([...map].filter(([key]) => key !== unit));
  const imageHistory = without(memory.imageHistory);
  for (const { unit: heir, image } of heirs) {
    const own = imageHistory.get(heir) ?? [];
    if (!own.some(({ id }) => id === image.id)) imageHistory.set(heir, [image, ...own].slice(-MOST_IMAGES_KEPT));
  }
  return { ...memory, pulled: without(memory.pulled), imageHistory, goneHours: without(memory.goneHours) };
}

export function withoutImage(imageHistory: Memory["imageHistory"], imageId: string): Memory["imageHistory"] {
  return new Map([...imageHistory].map(([unit, history]) => [unit, history.filter(({ id }) => id !== imageId)]));
}

function unitOf(owned: Owned): string {
  return owned.kind === "app" ? appUnit(owned.app) : cronJobUnit(owned.cronJob);
}
