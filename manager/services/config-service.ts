import { invalidArgument, NebulaError } from "../../common/errors/nebula-error.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import { validateName } from "../../common/validation/name.ts";
import type { ConfigService } from "../../gen/nebula/v1/config_pb.ts";
import type { ServiceHandlers } from "../rpc/call-context.ts";
import { composeConfig } from "../watch/compose-config.ts";
import { configSizeWarning } from "../watch/config-size.ts";
import { encodeConfig } from "../watch/load-config.ts";

/** GetConfig, always from the store: whoever asks after a change sees it. */
export function createConfigServiceHandlers({ configStore }: { configStore: ConfigStore }): ServiceHandlers<typeof ConfigService> {
  return {
    getConfig: async ({ deviceGroup }) => {
      const violations = validateName(deviceGroup, "device_group");
      if (violations.length > 0) throw invalidArgument(violations);
      const composed = await composeConfig(configStore, deviceGroup);
      if (composed.kind === "no_such_group")
        throw new NebulaError("not_found", `there is no device_group ${deviceGroup}: create it first, or look for its name in the list`);
      const { etag, bytes } = encodeConfig(composed.config);
      const warning = configSizeWarning(bytes.length);
      return { config: composed.config, etag, warnings: warning === undefined ? [] : [warning] };
    },
  };
}
