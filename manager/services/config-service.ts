import { invalidArgument, NebulaError } from "../../common/errors/nebula-error.ts";
import type { SecretKeys } from "../../common/secrets/secret-keys.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import { validateName } from "../../common/validation/name.ts";
import type { ConfigService } from "../../gen/nebula/v1/config_pb.ts";
import type { ServiceHandlers } from "../rpc/call-context.ts";
import { composeConfig } from "../watch/compose-config.ts";
import { maskedConfig, openedConfig } from "../watch/config-secrets.ts";
import { configSizeWarning } from "../watch/config-size.ts";
import { encodeConfig } from "../watch/load-config.ts";

type ConfigServiceDeps = Readonly<{ configStore: ConfigStore; secretKeys: SecretKeys }>;

/**
 * GetConfig, always from the store: whoever asks after a change sees it. It shows no secret value, and answers the etag of the config that devices get,
 * which holds them.
 */
export function createConfigServiceHandlers({ configStore, secretKeys }: ConfigServiceDeps): ServiceHandlers<typeof ConfigService> {
  return {
    getConfig: async ({ deviceGroup }) => {
      const violations = validateName(deviceGroup, "device_group");
      if (violations.length > 0) throw invalidArgument(violations);
      const composed = await composeConfig(configStore, deviceGroup);
      if (composed.kind === "no_such_group")
        throw new NebulaError("not_found", `there is no device_group ${deviceGroup}: create it first, or look for its name in the list`);
      const { etag, bytes } = encodeConfig(openedConfig(secretKeys, composed.config));
      const warning = configSizeWarning(bytes.length);
      return { config: maskedConfig(composed.config), etag, warnings: warning === undefined ? [] : [warning] };
    },
  };
}
