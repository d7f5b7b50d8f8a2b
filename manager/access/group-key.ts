import type { EntityKey } from "../../common/storage/config-store.ts";

/** The device_group of that name, as an entity that rights are on. */
export function groupKey(deviceGroup: string): EntityKey {
  return { kind: "device_group", name: deviceGroup };
}
