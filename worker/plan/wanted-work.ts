import { appLabels } from "../labels.ts";
import { nextName, parkedName } from "../names.ts";
import type { Step } from "../step.ts";
import { createKey } from "./blocks.ts";
import { NO_WORK, together } from "./farewell.ts";
import { rename } from "./names-work.ts";
import { oldOf, oldWork } from "./old-work.ts";
import type { SlotContext, SlotWork } from "./slot-context.ts";
import type { Slot } from "./slots.ts";
import { working } from "./states.ts";
import { earlier } from "./view.ts";

/** There is no container of the wanted spec: it is made once nothing stands in its way, and until then the old one goes on. */
export function wantedWork(slot: Slot, context: SlotContext): SlotWork {
  const { draft, image, view } = context;
  const { unit, blocks, turn, app } = draft;
  const block = blocks.get(slot);
  if (block !== undefined) {
    const old = oldWork(slot, context);
    return { steps: old.steps, wakeAt: earlier(old.wakeAt, block.wakeAt), state: block.state };
  }
  if (!turn.slots.has(slot.instance.index)) return { ...oldWork(slot, context), state: working("roll") };
  if (image === undefined) return { ...oldWork(slot, context), state: working("pull") };
  if (image.kind === "waiting") return { ...oldWork(slot, context), state: image.state };
  const name = slot.wrong.length === 0 && !view.byName.has(slot.name) ? slot.name : nextName(slot.name);
  const holder = view.byName.get(name);
  const create: Step = {
    kind: "create",
    unit,
    key: createKey(unit, slot.instance.index, slot.instance.hash),
    request: {
      name,
      spec: slot.instance.spec,
      successorOf: app.renewsVolumes ? undefined : oldOf(slot).old?.container.id,
      labels: appLabels(app.name, slot.instance.index, app.restartCount, {
        instance: view.identity.instance,
        boot: view.identity.boot,
        cluster: view.desired.cluster,
        revision: app.revision,
        hash: slot.instance.hash,
        isStale: image.isStale,
      }),
    },
  };
  const room = holder === undefined ? NO_WORK : rename(holder.id, parkedName(name, holder.id), unit, view);
  return { ...together([room, { steps: [create], wakeAt: undefined }]), state: working("create") };
}
