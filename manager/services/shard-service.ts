import { fromBinary } from "@bufbuild/protobuf";
import { invalidArgument } from "../../common/errors/nebula-error.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import { validateName } from "../../common/validation/name.ts";
import { deviceIdViolations } from "../../common/validation/report.ts";
import { DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import type { ShardService } from "../../gen/nebula/v1/shard_pb.ts";
import type { ServiceHandlers } from "../rpc/call-context.ts";
import type { Ownership } from "../watch/ownership.ts";

/** Tells workers where to watch: they never hash. */
export function createShardServiceHandlers({
  configStore,
  ownership,
}: {
  configStore: ConfigStore;
  ownership: Ownership;
}): ServiceHandlers<typeof ShardService> {
  async function spreadOf(deviceGroup: string): Promise<number> {
    if (!ownership.shared) return 1; // one shard: no read to find it out, however many devices come back at once
    const stored = await configStore.get({ kind: "device_group", name: deviceGroup });
    return stored === undefined || stored.deleted ? 1 : Math.max(1, fromBinary(DeviceGroupSchema, stored.body).spread);
  }
  return {
    getShardMap: async ({ deviceGroup, deviceId }) => {
      const violations = [...validateName(deviceGroup, "device_group"), ...(deviceId === "" ? [] : deviceIdViolations(deviceId, "device_id"))];
      if (violations.length > 0) throw invalidArgument(violations);
      const shards = ownership.shards(deviceGroup, await spreadOf(deviceGroup), deviceId === "" ? undefined : deviceId);
      const { id, epoch } = configStore.cluster;
      return { cluster: { id, epoch }, shards: shards.map((address) => ({ address })) };
    },
  };
}
