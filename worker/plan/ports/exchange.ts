import type { HostPort } from "../../../common/desired/container-spec.ts";
import type { Claim, PortClaims } from "../../../common/desired/port-claims.ts";
import type { OwnedAppContainer } from "../../observed/owned.ts";
import { type AppDraft, surplusMayGo } from "../slots/draft.ts";
import { type Slot, upRight } from "../slots/slots.ts";
import { holdersOf, type View } from "../view.ts";

/** A container that will be removed for its app's sake: the old one of a slot, or one without a slot (`slot` undefined). */
type Holder = Readonly<{ draft: AppDraft; slot: Slot | undefined; id: string }>;

/**
 * Exchanges of host ports. A slot in turn whose new container needs a port waits for the holder of the port; a holder
 * whose turn has not come waits for the slots of its app that are in turn. Where these waits form a circle, in one app or
 * across apps, no roll would ever continue: all holders in it join the turn of their apps. A slot that joined may itself
 * wait for a holder, which joins too. All old containers that take part are then stopped, and each new one is started
 * once its ports are free. Only here does a roll drop below n-1.
 */
export function withExchanges(drafts: readonly AppDraft[], view: View): readonly AppDraft[] {
  let joined = drafts;
  for (let before: readonly AppDraft[] = []; joined.some((draft, i) => draft !== before[i]); ) {
    before = joined;
    joined = withHolders(joined, view);
  }
  return joined.map((draft, i) => {
    const original = drafts[i];
    if (original === undefined || original === draft) return draft;
    const hasJoined = ({ instance: { index } }: Slot) => draft.turn.slots.has(index) && !original.turn.slots.has(index);
    const names = draft.slots.filter((slot) => hasJoined(slot) || isWaiting(original, slot)).map(({ name }) => name);
    const note = `containers exchange host ports, so the roll replaces them together: ${names.join(", ")}`;
    return { ...draft, turn: { ...draft.turn, note } };
  });
}

/** The drafts, with each holder in the turn of its app that the slots in turn wait for in a circle. A draft that none joins stays the same object. */
function withHolders(drafts: readonly AppDraft[], view: View): readonly AppDraft[] {
  const holders = new Map<string, Holder>();
  for (const draft of drafts) {
    for (const { container } of draft.surplus) holders.set(container.id, { draft, slot: undefined, id: container.id });
    for (const slot of draft.slots) for (const { container } of slot.wrong) holders.set(container.id, { draft, slot, id: container.id });
  }
  return drafts.map((draft) => {
    if (!mayGrow(draft)) return draft;
    const joining = ownHolders(draft, holders, view).filter((holder) => !isGoing(holder) && !isBlocked(holder));
    if (joining.length === 0) return draft;
    const { turn } = draft;
    const slots = new Set([...turn.slots, ...joining.flatMap(({ slot }) => (slot === undefined ? [] : [slot.instance.index]))]);
    const surplus = new Set([...turn.surplus, ...joining.flatMap(({ slot, id }) => (slot === undefined ? [id] : []))]);
    return { ...draft, turn: { ...turn, slots, surplus } };
  });
}

/** The holders of an app that its slots in turn wait for, directly or by way of other apps. */
function ownHolders(draft: AppDraft, holders: ReadonlyMap<string, Holder>, view: View): readonly Holder[] {
  const waiting = new Set(waitingSlots(draft));
  const own = new Set<Holder>();
  for (const slot of waiting) {
    for (const id of otherHolders(slot, view)) {
      const holder = holders.get(id);
      if (holder === undefined) continue;
      if (holder.draft === draft) own.add(holder);
      for (const next of waitsOf(holder)) waiting.add(next);
    }
  }
  return [...own];
}

/** The slots that wait for a port and that the end of this holder waits for. */
function waitsOf(holder: Holder): readonly Slot[] {
  const { draft, slot } = holder;
  if (!isGoing(holder)) return mayGrow(draft) ? waitingSlots(draft) : [];
  return slot !== undefined && isWaiting(draft, slot) ? [slot] : [];
}

/** Whether it is the turn of a holder to be removed. */
function isGoing({ draft, slot, id }: Holder): boolean {
  if (slot === undefined) return surplusMayGo(draft) || draft.turn.surplus.has(id);
  return draft.turn.slots.has(slot.instance.index);
}

function isBlocked({ draft, slot }: Holder): boolean {
  return slot !== undefined && draft.blocks.has(slot);
}

/** Whether a roll is under way that no new container holds: one that is sick or has not passed its gate holds it. */
function mayGrow({ app, turn }: AppDraft): boolean {
  return app.rolling && !turn.isHeld && !turn.isStuck && turn.wakeAt === undefined;
}

function waitingSlots(draft: AppDraft): readonly Slot[] {
  return draft.slots.filter((slot) => isWaiting(draft, slot));
}

/** Whether the new container of a slot is made and may be started, but for the ports that it needs. */
function isWaiting({ turn, blocks }: AppDraft, slot: Slot): boolean {
  return slot.right.length > 0 && upRight(slot) === undefined && !blocks.has(slot) && turn.slots.has(slot.instance.index);
}

/** Ids of owned containers that give up their ports. */
export type PortMoves = Readonly<{
  /** Stopped now, independent of who needs their ports. */
  leaving: ReadonlySet<string>;
  /** Of those, the running ones that lost their ports to a container with a better claim. */
  evicted: ReadonlySet<string>;
  /** Removed sooner or later: a container that needs their ports waits. */
  departing: ReadonlySet<string>;
  /** Whether a container that is down may be started on the ports of its spec, as far as the claims of other slots are concerned. */
  mayTake(ports: readonly HostPort[], taker: Taker): boolean;
}>;

/** Of a container that is down. `slot`: undefined if its app is refused. `stays`: nothing removes it for another one of its slot soon. */
export type Taker = Readonly<{ slot: Slot | undefined; stays: boolean }>;

/** @param gone containers of apps that do not run any more */
export function portMoves(drafts: readonly AppDraft[], gone: readonly OwnedAppContainer[], claims: PortClaims, view: View): PortMoves {
  const evicted = new Set(drafts.flatMap((draft) => evictedOf(draft, drafts, claims)).map(idOf));
  const leaving = leavingIds(drafts, [...gone.map(idOf), ...evicted], view);
  const departing = departingIds(drafts, leaving, view);
  return { leaving, evicted, departing, mayTake: (ports, taker) => mayTake(ports, taker, { drafts, claims, departing, view }) };
}

/**
 * A port is left to the slot that claims it first, from the time when the new container of that slot is made until it runs: a container
 * started in the gap of an exchange would keep the port. One that stays would keep it also from a new container that is not made yet.
 */
function mayTake(
  ports: readonly HostPort[],
  { slot: own, stays }: Taker,
  { drafts, claims, departing, view }: Readonly<{ drafts: readonly AppDraft[]; claims: PortClaims; view: View } & Pick<PortMoves, "departing">>,
): boolean {
  const isDueTo = (claim: Claim) => {
    const { draft, slot } = claimant(claim, drafts);
    if (draft === undefined || slot === undefined || slot === own || upRight(slot) !== undefined || !isDue(draft, slot)) return false;
    return (stays || slot.right.length > 0) && stayingHolders(slot, departing, view).length === 0;
  };
  return !ports.some((port) => claims.winners(port).some(isDueTo));
}

/** Whether the new container of a slot will be started, but for the ports that it needs. */
function isDue({ blocks, turn }: AppDraft, slot: Slot): boolean {
  return blocks.get(slot)?.state.kind !== "failed" && (!turn.isStuck || turn.slots.has(slot.instance.index));
}

function claimant({ app, index }: Claim, drafts: readonly AppDraft[]): Readonly<{ draft: AppDraft | undefined; slot: Slot | undefined }> {
  const draft = drafts.find((candidate) => candidate.app.name === app);
  return { draft, slot: draft?.slots.find(({ instance }) => instance.index === index) };
}

function leavingIds(drafts: readonly AppDraft[], going: readonly string[], view: View): ReadonlySet<string> {
  const { stops } = view.observed.jobs;
  const leaving = new Set([...going, ...stops]);
  const add = (containers: readonly OwnedAppContainer[]) => {
    for (const owned of containers) leaving.add(idOf(owned));
  };
  for (const draft of drafts) {
    add(draft.surplus.filter(({ container }) => surplusMayGo(draft) || draft.turn.surplus.has(container.id)));
    for (const slot of draft.slots) {
      if (upRight(slot) !== undefined || isWaiting(draft, slot)) add(slot.wrong);
      add(slot.right.slice(1));
    }
  }
  keepInVain(leaving, drafts.flatMap(waitingSlots), stops, view);
  return leaving;
}

function departingIds(drafts: readonly AppDraft[], leaving: ReadonlySet<string>, view: View): ReadonlySet<string> {
  const replaced = drafts.flatMap((draft) => draft.slots.filter((slot) => slot.wrong.length > 0 && isDue(draft, slot)));
  const surplus = drafts.filter((draft) => !draft.turn.isStuck || surplusMayGo(draft)).flatMap((draft) => draft.surplus);
  const departing = new Set([...leaving, ...[...surplus, ...replaced.flatMap(({ wrong }) => wrong)].map(idOf)]);
  const unstarted = replaced.filter((slot) => upRight(slot) === undefined);
  keepInVain(departing, unstarted, leaving, view);
  return departing;
}

/**
 * I6: nothing is stopped for a new container whose ports would still be held by a container that stays. Takes the old
 * containers of such slots out of `going`, and of those that need their ports, but for the ids in `fixed`.
 */
function keepInVain(going: Set<string>, slots: readonly Slot[], fixed: ReadonlySet<string>, view: View): void {
  for (let before = -1; before !== going.size; ) {
    before = going.size;
    for (const slot of slots) {
      if (stayingHolders(slot, going, view).length === 0) continue;
      for (const owned of slot.wrong) if (!fixed.has(idOf(owned))) going.delete(idOf(owned));
    }
  }
}

/**
 * Running containers whose ports belong to another one by the order of the group, once that one is made and waits only
 * for them: containers of the wanted spec that lost the claim, and containers without a slot.
 */
function evictedOf({ app, slots, surplus }: AppDraft, drafts: readonly AppDraft[], claims: PortClaims): readonly OwnedAppContainer[] {
  const losers = slots.map((slot) => (claims.lost(app.name, slot.instance.index) === undefined ? undefined : upRight(slot)));
  const isUnstarted = (winner: Claim) => {
    const { draft, slot } = claimant(winner, drafts);
    return slot !== undefined && slot.right.length > 0 && upRight(slot) === undefined && draft?.blocks.has(slot) === false;
  };
  const isWaitedFor = (port: HostPort) => claims.winners(port).some(isUnstarted);
  return [...losers, ...surplus].filter((owned) => owned !== undefined).filter(({ container }) => container.hostPorts.some(isWaitedFor));
}

/** Ids of owned containers, of other slots, that hold a port which the wanted container of a slot needs, and that stay. */
export function stayingHolders(slot: Slot, leaving: ReadonlySet<string>, view: View): readonly string[] {
  return otherHolders(slot, view).filter((id) => !leaving.has(id));
}

/** Ids of running containers outside of a slot that hold a port which its wanted container needs. */
export function otherHolders({ right, wrong, instance }: Slot, view: View): readonly string[] {
  const own = new Set([...right, ...wrong].map(idOf));
  return holdersOf(view, instance.spec.ports, own).map(({ holder }) => holder.id);
}

function idOf({ container }: OwnedAppContainer): string {
  return container.id;
}
