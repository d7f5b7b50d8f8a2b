/** What is known of the device when env values are filled in. */
export type DeviceVariables = Readonly<{ deviceId: string; deviceGroup: string }>;

const PLACEHOLDER = /\$\$\{|\$\{(NEBULA_DEVICE_ID|NEBULA_DEVICE_GROUP)\}/g;

/**
 * Fills `${NEBULA_DEVICE_ID}` and `${NEBULA_DEVICE_GROUP}` into an env value. Any other `${...}` stays as it is; `$${` is a literal `${`.
 */
export function fillDeviceVariables(value: string, { deviceId, deviceGroup }: DeviceVariables): string {
  return value.replace(PLACEHOLDER, (_, name: string | undefined) => {
    if (name === undefined) return "${";
    return name === "NEBULA_DEVICE_ID" ? deviceId : deviceGroup;
  });
}
