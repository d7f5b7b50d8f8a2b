import type { Member, Membership } from "../../common/membership/membership.ts";
import { ownersOf, ownShard, ranked } from "../../common/membership/rendezvous.ts";

/** Which shard serves which watch. */
export type Ownership = {
  /**
   * The address of the shard that should serve a device's watch; undefined: this one.
   * @param deviceId undefined: the watch has no part in `spread`
   */
  elsewhere(group: string, spread: number, deviceId: string | undefined): string | undefined;
  /** Addresses of the live shards, the device's own one first, each once. */
  shards(group: string, spread: number, deviceId: string | undefined): readonly string[];
  /** Whether there are other shards: only then does `spread` matter. */
  readonly shared: boolean;
  onChange(listener: () => void): Disposable;
};

/**
 * A shard that has not joined (it could not reach the membership yet) serves every watch, and lists itself first.
 * @param address answers where workers dial this shard
 * @param redirect false: this shard serves every watch (one load balancer stands in front of all)
 */
export function createOwnership({ membership, address, redirect }: { membership: Membership; address: () => string; redirect: boolean }): Ownership {
  const own = (group: string, spread: number, deviceId: string | undefined): Member | undefined => {
    const owners = ownersOf(group, membership.members(), spread);
    return deviceId === undefined ? owners[0] : ownShard(group, deviceId, owners);
  };
  return {
    elsewhere(group, spread, deviceId) {
      const { self } = membership;
      if (!redirect || self === undefined || membership.members().length <= 1) return undefined;
      const owner = own(group, spread, deviceId);
      return owner === undefined || owner.boot === self.boot ? undefined : owner.address;
    },
    shards(group, spread, deviceId) {
      const first = own(group, spread, deviceId);
      const others = ranked([group], membership.members()).filter((member) => member !== first);
      const addresses = (first === undefined ? others : [first, ...others]).map((member) => member.address);
      return [...new Set(membership.self === undefined ? [address(), ...addresses] : addresses)];
    },
    get shared() {
      return membership.members().length > 1;
    },
    onChange: (listener) => membership.onChange(() => listener()),
  };
}
