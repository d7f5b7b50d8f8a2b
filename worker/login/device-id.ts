import { randomBytes } from "node:crypto";
import type { Clock } from "../../common/clock/clock.ts";
import { messageOf, NebulaError } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import { deviceIdViolations } from "../../common/validation/names.ts";
import type { LastGood } from "../data/data-folder.ts";

const RETRY_MS = 2000;
/** As long as a device id may be, less '-' and six digits. */
const LONGEST_HOSTNAME = 128 - 7;

export type DeviceIdOptions = Readonly<{
  /** NEBULA_DEVICE_ID. */
  given: string | undefined;
  lastGood: Pick<LastGood, "loaded" | "saveDeviceId">;
  /** The Docker Engine's host name; that of the worker's own container says nothing about the device. */
  engineHostname: (signal: AbortSignal) => Promise<string>;
  clock: Clock;
  log: Log;
  signal: AbortSignal;
}>;

/**
 * The device's id: the one given, else the one kept (the device's token keeps it too), else a new one made of the engine's host name, which is then kept. Waits for an engine that is not
 * there yet; rejects with `invalid_argument` for a given id that is not valid.
 */
export async function decideDeviceId({ given, lastGood, engineHostname, clock, log, signal }: DeviceIdOptions): Promise<string> {
  if (given !== undefined) {
    const [violation] = deviceIdViolations(given, "NEBULA_DEVICE_ID");
    if (violation !== undefined) throw new NebulaError("invalid_argument", `${violation.field}: ${violation.description}`);
    return given;
  }
  const kept = lastGood.loaded.deviceId ?? lastGood.loaded.deviceToken?.deviceId;
  if (kept !== undefined && deviceIdViolations(kept, "device_id").length === 0) return kept;
  const deviceId = newDeviceId(await answered(engineHostname, { clock, log, signal }), randomBytes(3).toString("hex"));
  const outcome = await lastGood.saveDeviceId(deviceId);
  if (outcome.kind === "saved") log.info({ deviceId }, "this device has a new id");
  else
    log.warn(
      { deviceId, reason: outcome.reason },
      "this device's new id can't be kept: it has another one after the next start; set NEBULA_DEVICE_ID to keep it",
    );
  return deviceId;
}

/** A host name, as far as an id may hold it, '-' and random digits. */
export function newDeviceId(hostname: string, digits: string): string {
  const usable = hostname.replace(/[^a-zA-Z0-9_.-]/g, "-").replace(/^[^a-zA-Z0-9]+/, "");
  return `${usable.slice(0, LONGEST_HOSTNAME) || "device"}-${digits}`;
}

async function answered(
  engineHostname: DeviceIdOptions["engineHostname"],
  { clock, log, signal }: Pick<DeviceIdOptions, "clock" | "log" | "signal">,
): Promise<string> {
  for (let tries = 0; ; tries++) {
    try {
      return await engineHostname(signal);
    } catch (error) {
      signal.throwIfAborted();
      if (tries === 0) log.warn({ reason: messageOf(error) }, "the device's id is made of the engine's host name; waiting for the engine");
      await clock.sleep(RETRY_MS, signal);
    }
  }
}
