import { messageOf } from "../../common/errors/nebula-error.ts";
import { ShardService } from "../../gen/nebula/v1/shard_pb.ts";
import { isAddress, refusal } from "./attempt.ts";
import type { LocateOutcome } from "./moves.ts";
import { addressOf, callServer, isManager, type ServerCallOptions } from "./server-call.ts";

export type LocateOptions = ServerCallOptions & Readonly<{ deviceGroup: string; deviceId: string }>;

/**
 * Asks the server, a gateway or a manager, for the shards, this device's own first. A manager that was given by its own address comes last even where the
 * map does not hold that address: an advertised name may mean nothing on this device. Rejects only when the signal is aborted.
 */
export async function locateShards({ deviceGroup, deviceId, ...options }: LocateOptions): Promise<LocateOutcome> {
  try {
    const { shards } = await callServer(ShardService.method.getShardMap, { deviceGroup, deviceId }, options);
    const given = isManager(options.server) ? [addressOf(options.server)] : [];
    const addresses = [...new Set([...shards.map(({ address }) => address).filter(isAddress), ...given])];
    return { kind: "located", addresses };
  } catch (error) {
    options.signal.throwIfAborted();
    return refusal(error) ?? { kind: "unreachable", reason: messageOf(error) };
  }
}
