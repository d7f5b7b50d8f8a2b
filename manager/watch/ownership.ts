/**
 * The shard that serves each watch.
 *
 * O1 The live shards are ranked for each group, and the first one owns it. O2 With `spread: n` the first n own it, and
 *    each device belongs to one of them.
 * B1 A group is ranked once per change of the membership, however many devices ask.
 * B2 An impaired shard owns nothing while another is well.
 */
import { BoundedMap } from "../../common/bounded-map.ts";
import type { Member, Membership } from "../../common/membership/membership.ts";
import { ownShard, ranked, succession } from "../../common/membership/rendezvous.ts";

export type Ownership = {
  /** Rises with every change of the membership. */
  readonly version: number;
  /** The live shards. */
  readonly members: readonly Member[];
  /** Groups ranked so far. */
  readonly rankings: number;
  /** Whether there are other shards: only then does `spread` matter. */
  readonly shared: boolean;
  /** Whether others own every group, of any `spread` (B2): this shard is impaired, and another one is well. */
  readonly ownsNothing: boolean;
  /**
   * The shard that should serve a device's watch; undefined: this one.
   * @param deviceId undefined: the watch has no part in `spread`
   */
  redirectTarget(group: string, spread: number, deviceId: string | undefined): Member | undefined;
  /** The shard that serves a device's watch when this one has stopped; undefined if no other shard lives. */
  successor(group: string, spread: number, deviceId: string | undefined): Member | undefined;
  /** Addresses of the live shards, each once: the device's own one first, the others as they come next for this device. */
  shards(group: string, spread: number, deviceId: string | undefined): readonly string[];
  /** Whether a larger `spread` than this one means more shards for a group. */
  canSpread(spread: number): boolean;
  onChange(listener: () => void): Disposable;
};

export type OwnershipDeps = Readonly<{
  membership: Membership;
  /** Answers where workers dial this shard. */
  address: () => string;
  /** false: this shard serves every watch (one load balancer stands in front of all). */
  redirect: boolean;
  signal: AbortSignal;
}>;

/** Groups whose ranking is kept; beyond that the one that was ranked first is ranked again when it is asked for. */
const RANKINGS_KEPT = 20_000;

/** A shard that has not joined (it could not reach the membership yet) serves every watch, and lists itself first. */
export function createOwnership({ membership, address, redirect, signal }: OwnershipDeps): Ownership {
  const listeners = new Set<() => void>();
  const kept = new BoundedMap<string, readonly Member[]>(RANKINGS_KEPT);
  let view = viewOf(membership);
  let version = 0;
  let rankings = 0;

  function onMembership(): void {
    const now = viewOf(membership);
    if (isSame(view, now)) return;
    view = now;
    kept.clear();
    version++;
    for (const listener of listeners) listener();
  }

  /** B1: the members that may own a group, ranked. */
  function ranking(group: string): readonly Member[] {
    const known = kept.get(group);
    if (known !== undefined) return known;
    rankings++;
    const ranks = ranked([group], view.well);
    kept.set(group, ranks);
    return ranks;
  }

  const owner = (group: string, spread: number, deviceId: string | undefined, ranks = ranking(group)): Member | undefined => {
    if (deviceId === undefined || spread <= 1) return ranks[0]; // O1
    return ownShard(group, deviceId, ranks.slice(0, spread)); // O2
  };

  const subscription = membership.onChange(onMembership);
  signal.addEventListener("abort", () => subscription[Symbol.dispose]());
  return {
    get version() {
      return version;
    },
    get members() {
      return view.members;
    },
    get rankings() {
      return rankings;
    },
    get shared() {
      return view.members.length > 1;
    },
    get ownsNothing() {
      return redirect && view.impaired.some(({ boot }) => boot === view.self);
    },
    redirectTarget(group, spread, deviceId) {
      const { self } = membership;
      if (!redirect || self === undefined || view.members.length <= 1) return undefined;
      const found = owner(group, spread, deviceId);
      return found?.boot === self.boot ? undefined : found;
    },
    successor(group, spread, deviceId) {
      const others = ranking(group).filter(({ boot }) => boot !== view.self && boot !== membership.self?.boot);
      return owner(group, spread, deviceId, others);
    },
    shards(group, spread, deviceId) {
      const order = [...succession(group, deviceId, ranking(group), spread), ...view.impaired];
      const addresses = order.map((member) => member.address);
      return [...new Set(membership.self === undefined ? [address(), ...addresses] : addresses)];
    },
    canSpread: (spread) => redirect && view.well.length > Math.max(1, spread),
    onChange(listener) {
      const own = () => listener(); // one subscription each, also of the same function
      listeners.add(own);
      return { [Symbol.dispose]: () => void listeners.delete(own) };
    },
  };
}

/** The membership, parted. */
type View = Readonly<{
  /** The boot of this shard, where it has joined. */
  self: string | undefined;
  members: readonly Member[];
  /** B2: the members that may own groups. */
  well: readonly Member[];
  /** The others. */
  impaired: readonly Member[];
}>;

function viewOf(membership: Membership): View {
  const members = membership.members();
  const well = members.filter(({ impaired }) => impaired !== true);
  const self = membership.self?.boot;
  if (well.length === 0) return { self, members, well: members, impaired: [] };
  return { self, members, well, impaired: members.filter((member) => member.impaired === true) };
}

function isSame(one: View, other: View): boolean {
  const text = ({ self, members }: View) =>
    JSON.stringify([self, members.map(({ name, address, boot, impaired }) => [name, address, boot, impaired === true])]);
  return text(one) === text(other);
}
