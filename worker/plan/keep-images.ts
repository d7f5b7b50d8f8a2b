import type { PulledImage } from "../memory.ts";
import { appUnit } from "../owned.ts";
import type { Step } from "../step.ts";
import type { AppDraft } from "./draft.ts";
import { NO_WORK, together, unlessFailing, type Work } from "./farewell.ts";
import { gateOf } from "./gate.ts";
import { unusedImages } from "./prune.ts";
import { upRight } from "./slots.ts";
import { earlier, type View } from "./view.ts";

/** What is remembered of a unit, and the images that were pulled for it, outlast it for this long, hours: one that returns costs no pull. */
const KEPT_AFTER_END_HOURS = 24;

/**
 * Small disks: images that this worker pulled for an app and an update replaced go once the new spec has passed its gate, all but the newest few.
 * An image that a container uses, or that the config names, stays.
 */
export function keepImagesWork(drafts: readonly AppDraft[], view: View): Work {
  if (view.observed.jobs.saving) return NO_WORK;
  if ([...view.memory.imageHistory.values()].every((history) => history.length <= view.identity.keepImages + 1)) return NO_WORK;
  const unused = new Map(unusedImages(view).map((image) => [image.id, image]));
  return together(drafts.map((draft) => appImagesWork(draft, new Set(unused.keys()), view)));
}

function appImagesWork(draft: AppDraft, unused: ReadonlySet<string>, view: View): Work {
  const { app } = draft;
  const history = view.memory.imageHistory.get(appUnit(app.name)) ?? [];
  const current = view.observed.images.find(({ references }) => references.includes(app.image))?.id;
  const replaced = history.filter(({ id }) => id !== current);
  const excess = replaced.slice(0, Math.max(0, replaced.length - view.identity.keepImages)).filter(({ id }) => unused.has(id));
  if (excess.length === 0) return NO_WORK;
  const gates = draft.slots.map((slot) => {
    const right = upRight(slot);
    return right === undefined || slot.wrong.length > 0 ? undefined : gateOf(right.container, app.minHealthyMs, slot.instance.spec.healthcheck, view);
  });
  if (!gates.every((gate) => gate?.kind === "passing")) {
    return { steps: [], wakeAt: gates.map((gate) => (gate?.kind === "undecided" ? gate.decidedAt : undefined)).reduce(earlier, undefined) };
  }
  return together(excess.map((pulled) => removal(pulled, view)));
}

/** Units that left the config, and whose last container has been gone for a day: their images go, then what is remembered of them. */
export function goneUnitsWork(view: View): Work {
  const { goneHours, imageHistory } = view.memory;
  const due = [...goneHours].filter(([, hours]) => hours >= KEPT_AFTER_END_HOURS).map(([unit]) => unit);
  if (due.length === 0 || view.observed.jobs.saving) return NO_WORK;
  const others = [...imageHistory].flatMap(([unit, history]) => (due.includes(unit) ? [] : history.map(({ id }) => id)));
  const unused = new Set(unusedImages(view).map(({ id }) => id)).difference(new Set(others));
  const removable = (unit: string) => (imageHistory.get(unit) ?? []).filter((pulled) => unused.has(pulled.id));
  const images = new Map(due.flatMap(removable).map((pulled) => [pulled.id, pulled]));
  const forgotten = due.filter((unit) => removable(unit).length === 0);
  const steps = forgotten.map((unit): Step => ({ kind: "forget_unit", unit, key: `forget ${unit}` }));
  return together([...[...images.values()].map((pulled) => removal(pulled, view)), { steps, wakeAt: undefined }]);
}

function removal({ id, image }: PulledImage, view: View): Work {
  const step: Step = { kind: "remove_image", unit: `images ${id}`, key: `remove_image ${id}`, imageId: id, image };
  return unlessFailing(step, view);
}
