/** The token that the server knows this device by. */
export type ConfirmedToken = Readonly<{
  /** The token itself: a secret. */
  token: string;
  /** The device_group that it is bound to. */
  deviceGroup: string;
  /** Since when it is in use, milliseconds since 1970. */
  since: number;
}>;

/**
 * The tokens that a device keeps: every secret that the server may know this device by, at any time, also
 * when answers were lost on the way. `enrolling`: a secret that the device comes in with. `rotating`: the one that follows the confirmed
 * one; there is one then.
 */
export type DeviceToken = Readonly<{
  deviceId: string;
  confirmed: ConfirmedToken | undefined;
  /**
   * The token that the confirmed one replaced by a rotation: a server that was restored from a backup may know that
   * alone.
   */
  previous: ConfirmedToken | undefined;
  pending: Readonly<{ kind: "enrolling" | "rotating"; secret: string }> | undefined;
}>;

/** As plain JSON, for a file. */
export function storeDeviceToken({ deviceId, confirmed, previous, pending }: DeviceToken): unknown {
  return { deviceId, confirmed, previous, pending };
}

/** Reads back what `storeDeviceToken` made; undefined if it is not of that form. */
export function restoreDeviceToken(stored: unknown): DeviceToken | undefined {
  const { deviceId, confirmed, previous, pending } = fieldsOf(stored);
  if (typeof deviceId !== "string") return undefined;
  const [token, next] = [confirmedOf(confirmed), pendingOf(pending)];
  if (token === "damaged" || next === "damaged" || (next?.kind === "rotating" && token === undefined)) return undefined;
  const before = confirmedOf(previous);
  return { deviceId, confirmed: token, previous: before === "damaged" ? undefined : before, pending: next };
}

function confirmedOf(value: unknown): DeviceToken["confirmed"] | "damaged" {
  if (value === undefined) return undefined;
  const { token, deviceGroup, since } = fieldsOf(value);
  return typeof token === "string" && typeof deviceGroup === "string" && typeof since === "number" ? { token, deviceGroup, since } : "damaged";
}

function pendingOf(value: unknown): DeviceToken["pending"] | "damaged" {
  if (value === undefined) return undefined;
  const { kind, secret } = fieldsOf(value);
  return (kind === "enrolling" || kind === "rotating") && typeof secret === "string" ? { kind, secret } : "damaged";
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
