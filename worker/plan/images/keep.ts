import { appUnit, cronJobUnit } from "../../observed/owned.ts";
import { gateOf } from "../health.ts";
import type { AppDraft } from "../slots/draft.ts";
import { upRight } from "../slots/slots.ts";
import type { Heir, PulledImage, Step } from "../step.ts";
import { earlier, type View } from "../view.ts";
import { NO_WORK, together, unlessFailing, type Work } from "../work.ts";
import { unusedPulledImages } from "./prune.ts";

/**
 * Hours for which the images and the memory of an app or cron_job are kept after its last container is gone: one that
 * returns then costs no pull.
 */
const KEPT_AFTER_END_HOURS = 24;
/** Of more units those that left first are forgotten early. */
const MOST_GONE = 1000;

/**
 * Small disks: of the images that this worker pulled for an app, and that updates have replaced, it removes all but the
 * newest few, once the new spec has passed its gate.
 * An image that a container uses, that the config names, or that somebody else tagged, stays; so does that of a unit
 * which may return.
 */
export function keepImagesWork(drafts: readonly AppDraft[], view: View): Work {
  if (view.observed.jobs.saving) return NO_WORK;
  if ([...view.memory.imageHistory.values()].every((history) => history.length <= view.identity.keepImages + 1)) return NO_WORK;
  const unused = new Map(unusedPulledImages(view).map((image) => [image.id, image]));
  return together(drafts.map((draft) => appImagesWork(draft, new Set(unused.keys()), view)));
}

function appImagesWork(draft: AppDraft, unused: ReadonlySet<string>, view: View): Work {
  const { app } = draft;
  const history = view.memory.imageHistory.get(appUnit(app.name)) ?? [];
  const current = view.observed.images.find(({ references }) => references.includes(app.image))?.id;
  const replaced = history.filter(({ id }) => id !== current);
  const { goneHours, imageHistory } = view.memory;
  const awaited = new Set([...goneHours.keys()].flatMap((unit) => imageHistory.get(unit) ?? []).map(({ id }) => id));
  const excess = replaced.slice(0, Math.max(0, replaced.length - view.identity.keepImages)).filter(({ id }) => unused.has(id) && !awaited.has(id));
  if (excess.length === 0) return NO_WORK;
  const gates = draft.slots.map((slot) => {
    const right = upRight(slot);
    return right === undefined || slot.wrong.length > 0 ? undefined : gateOf(right.container, app.minHealthyMs, slot.instance.spec.healthcheck, view);
  });
  if (!gates.every((gate) => gate?.kind === "passing")) {
    return { steps: [], wakeAt: gates.map((gate) => (gate?.kind === "undecided" ? gate.decidedAt : undefined)).reduce(earlier, undefined) };
  }
  return together(excess.map((pulled) => imageRemoval(pulled, view)));
}

/**
 * Units that left the config, and whose last container has been gone for a day: their images go, then what is
 * remembered of them.
 */
export function goneUnitsWork(view: View): Work {
  const { goneHours, imageHistory } = view.memory;
  const oldestFirst = [...goneHours].sort(([, a], [, b]) => b - a);
  const due = oldestFirst.filter(([, hours], rank) => hours >= KEPT_AFTER_END_HOURS || rank < oldestFirst.length - MOST_GONE).map(([unit]) => unit);
  if (due.length === 0 || view.observed.jobs.saving) return NO_WORK;
  const others = [...imageHistory].flatMap(([unit, history]) => (due.includes(unit) ? [] : history.map(({ id }) => id)));
  const unused = new Set(unusedPulledImages(view).map(({ id }) => id)).difference(new Set(others));
  const removable = (unit: string) => (imageHistory.get(unit) ?? []).filter((pulled) => unused.has(pulled.id));
  const images = new Map(due.flatMap(removable).map((pulled) => [pulled.id, pulled]));
  const forgotten = due.filter((unit) => removable(unit).length === 0);
  const steps = forgotten.map((unit): Step => ({ kind: "forget_unit", unit, heirs: heirsOf(unit, view) }));
  return together([...[...images.values()].map((pulled) => imageRemoval(pulled, view)), { steps, wakeAt: undefined }]);
}

/** The units of the config that name an image which was pulled for a unit: it is removed with the last of them. */
function heirsOf(unit: string, { memory, desired, observed }: View): readonly Heir[] {
  const users = [
    ...desired.apps.map((app) => ({ unit: appUnit(app.name), image: app.kind === "gone" ? undefined : app.image })),
    ...desired.cronJobs.map((job) => ({ unit: cronJobUnit(job.name), image: job.kind === "gone" ? undefined : job.image })),
  ];
  return (memory.imageHistory.get(unit) ?? []).flatMap((image) => {
    const references = observed.images.find(({ id }) => id === image.id)?.references ?? [];
    return users.filter((user) => user.image !== undefined && references.includes(user.image)).map((user): Heir => ({ unit: user.unit, image }));
  });
}

function imageRemoval({ id, image }: PulledImage, view: View): Work {
  const step: Step = { kind: "remove_image", unit: `images ${id}`, imageId: id, image };
  return unlessFailing(step, view);
}
