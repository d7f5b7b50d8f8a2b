import { assertNoViolations } from "../../common/errors/nebula-error.ts";
import type { SecretKeys } from "../../common/secrets/secret-keys.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import { noSuch } from "../../common/text/no-such.ts";
import { validateName } from "../../common/validation/names.ts";
import type { ConfigService } from "../../gen/nebula/v1/config_pb.ts";
import { composeConfig, configSizeWarning, maskedConfig, openedConfig } from "../config/group-config.ts";
import { encodeConfig } from "../config/load-config.ts";
import type { ServiceHandlers } from "../rpc/call-context.ts";

type ConfigServiceDeps = Readonly<{ configStore: ConfigStore; secretKeys: SecretKeys }>;

/**
 * GetConfig reads the store, so a caller sees every earlier change. The answer shows no secret value, and has the etag of the config that devices
 * get, which holds them.
 */
export function createConfigServiceHandlers({ configStore, secretKeys }: ConfigServiceDeps): ServiceHandlers<typeof ConfigService> {
  return {
    getConfig: async ({ deviceGroup }, { signal }) => {
      const violations = validateName(deviceGroup, "device_group");
      assertNoViolations(violations);
      const composed = await composeConfig(configStore, deviceGroup, { signal });
      if (composed.kind === "no_such_group") throw noSuch("device_group", deviceGroup);
      const { etag, bytes } = encodeConfig(openedConfig(secretKeys, composed.config));
      const warning = configSizeWarning(bytes.length);
      return { config: maskedConfig(composed.config), etag, warnings: warning === undefined ? [] : [warning] };
    },
  };
}
