import { type AppDraft, otherHolders } from "./draft.ts";
import { type Slot, upRight } from "./slots.ts";
import type { View } from "./view.ts";

type Place = Readonly<{ draft: AppDraft; slot: Slot }>;

/**
 * Rolls that would wait for themselves: a slot in its turn waits for a host port of another app's container, that one's slot waits for a port in its turn, and so
 * on, until one waits for a container of the same roll whose turn has not come. Nobody would ever move; so that place's turn is now, as that of containers
 * of one app that trade ports.
 */
export function withPortTrades(drafts: readonly AppDraft[], view: View): readonly AppDraft[] {
  const placeOf = new Map<string, Place>();
  for (const draft of drafts) for (const slot of draft.slots) for (const { container } of slot.wrong) placeOf.set(container.id, { draft, slot });
  return drafts.map((draft) => {
    // A roll that is held by a new container which is sick, or has not passed its gate yet, waits for that.
    if (!draft.app.rolling || draft.turn.isStuck || draft.turn.wakeAt !== undefined) return draft;
    const traded = draft.slots.filter((slot) => isWaiting({ draft, slot })).flatMap((slot) => ownBeyondOthers({ draft, slot }, placeOf, view));
    if (traded.length === 0) return draft;
    const slots = new Set([...draft.turn.slots, ...traded.map(({ instance }) => instance.index)]);
    const names = [...new Set(traded.map(({ name }) => name))].join(", ");
    return { ...draft, turn: { ...draft.turn, slots, note: `${names} trades host ports with another app, so the roll did not wait for the others` } };
  });
}

/** Slots of the same roll whose turn has not come, for whose ports the place waits by way of other apps. */
function ownBeyondOthers(place: Place, placeOf: ReadonlyMap<string, Place>, view: View): readonly Slot[] {
  const reached = new Map<Slot, Place>([[place.slot, place]]);
  const own: Slot[] = [];
  for (const each of reached.values()) {
    for (const id of otherHolders(each.slot, view)) {
      const holder = placeOf.get(id);
      if (holder === undefined || reached.has(holder.slot)) continue;
      const isOwn = holder.draft === place.draft;
      if (isOwn && each !== place && !isInTurn(holder) && !holder.draft.blocks.has(holder.slot)) own.push(holder.slot);
      if (isWaiting(holder)) reached.set(holder.slot, holder);
    }
  }
  return own;
}

/** Whether a slot's new container is made, does not run yet, and nothing but ports may stand in its way. */
function isWaiting({ draft, slot }: Place): boolean {
  return slot.right.length > 0 && upRight(slot) === undefined && !draft.blocks.has(slot) && isInTurn({ draft, slot });
}

function isInTurn({ draft, slot }: Place): boolean {
  return draft.turn.slots.has(slot.instance.index);
}
