import { assertNoViolations } from "../../common/errors/nebula-error.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import { deviceIdViolations, validateName } from "../../common/validation/names.ts";
import type { ShardService } from "../../gen/nebula/v1/shard_pb.ts";
import type { ServiceHandlers } from "../rpc/call-context.ts";
import type { Ownership } from "../watch/ownership.ts";
import { GroupSpreads, type GroupSpreadsDeps } from "./group-spreads.ts";

export type ShardServiceDeps = GroupSpreadsDeps & Readonly<{ configStore: Pick<ConfigStore, "get" | "cluster">; ownership: Ownership }>;

/** Tells workers where to watch: they never hash. */
export function createShardServiceHandlers(deps: ShardServiceDeps): ServiceHandlers<typeof ShardService> {
  const { configStore, ownership } = deps;
  const spreads = new GroupSpreads(deps);
  return {
    getShardMap: async ({ deviceGroup, deviceId }) => {
      const violations = [...validateName(deviceGroup, "device_group"), ...(deviceId === "" ? [] : deviceIdViolations(deviceId, "device_id"))];
      assertNoViolations(violations);
      const spread = ownership.shared ? await spreads.of(deviceGroup) : 1; // one shard: no read to find it out, however many devices come back at once
      const shards = ownership.shards(deviceGroup, spread, deviceId === "" ? undefined : deviceId);
      const { id, epoch } = configStore.cluster;
      return { cluster: { id, epoch }, shards: shards.map((address) => ({ address })) };
    },
  };
}
