import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import type { Member, Membership } from "../../common/membership/membership.ts";
import { formatAddress, isUnspecified } from "../../common/net/address.ts";
import type { ListenAddress, Settings } from "../../common/settings/settings.ts";

export type ShardSettings = Pick<Settings, "grpcAdvertise"> & Partial<Pick<Settings, "shard">>;

export type ShardPlace = Readonly<{
  /** The listen address of the manager, with the bound port. */
  bound: ListenAddress;
  hostname: string;
  /** A random id of this start. */
  boot: string;
}>;

/**
 * Works out what this shard is to the others: its name (NEBULA_SHARD, else host name and port, which a restart does not change) and the address that workers
 * dial (NEBULA_GRPC_ADVERTISE, else where it listens). 0.0.0.0 cannot be dialled: a shard that is alone advertises the machine's name in place of it, with a
 * warning; where other shards may exist a guessed name could send a whole fleet nowhere.
 * @throws NebulaError failed_precondition for an unspecified address where other shards may exist
 */
export function shardOf(settings: ShardSettings, { bound, hostname, boot }: ShardPlace, alone: boolean): { self: Member; warning?: string } {
  const byName = formatAddress({ host: hostname, port: bound.port });
  const identity = { name: settings.shard ?? byName, boot };
  if (settings.grpcAdvertise !== undefined) return { self: { ...identity, address: settings.grpcAdvertise } };
  if (!isUnspecified(bound.host)) return { self: { ...identity, address: formatAddress(bound) } };
  if (!alone) {
    throw new NebulaError(
      "failed_precondition",
      `invalid NEBULA_GRPC_LISTEN "${formatAddress(bound)}": other shards send workers to this one, and it is not an address to dial; ` +
        `set NEBULA_GRPC_ADVERTISE, such as "${byName}"`,
    );
  }
  return {
    self: { ...identity, address: byName },
    warning: `workers are sent to ${byName}; set NEBULA_GRPC_ADVERTISE if they cannot dial it`,
  };
}

/** Makes this shard a member; until then the shard serves every watch. Rejects with `failed_precondition` where another live shard has its name. */
export async function joinShards(membership: Membership, self: Member, log: Log): Promise<void> {
  await membership.join(self);
  if (membership.self === undefined)
    log.warn({ shard: self.name }, "the shards' leases can't be reached: this shard serves every watch until it can join");
  else log.info({ shard: self.name, address: self.address, members: membership.members().length }, "the shard has joined");
}
