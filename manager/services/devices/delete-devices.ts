import type { MessageInitShape } from "@bufbuild/protobuf";
import { assertNoViolations, NebulaError, type Violation } from "../../../common/errors/nebula-error.ts";
import type { ChangeFeed } from "../../../common/feed/change-feed.ts";
import { bootsAt } from "../../../common/insight/connection.ts";
import { offlineMs } from "../../../common/insight/device-filter.ts";
import { statusAnnouncements } from "../../../common/insight/status-announcements.ts";
import type { Log } from "../../../common/log/log.ts";
import { mapLimited } from "../../../common/map-limited.ts";
import type { PresenceRow } from "../../../common/storage/presence-store.ts";
import type { ReportStore, StatusRow } from "../../../common/storage/report-store.ts";
import { validateName } from "../../../common/validation/names.ts";
import { ConnectionState, type DeleteDevicesRequest, type DeleteDevicesResponseSchema } from "../../../gen/nebula/v1/device_pb.ts";
import type { PresentGroups } from "../../access/present-groups.ts";
import { nameOf } from "../../access/principal.ts";
import { assertPermitted } from "../../access/rights/permit.ts";
import { groupKey } from "../../access/rights/rights.ts";
import type { CallContext } from "../../rpc/call-context.ts";
import type { FleetReader } from "./fleet-reader.ts";

/** Devices that one call forgets. */
const MOST_DELETED = 1000;
const MOST_GROUPS_NAMED = 100;
const AT_ONCE = 16;
/** Rows of presence that are removed at a time. */
const ROWS = 1000;
/** Devices that an entry of the audit log names. */
const NAMED = 5;

export type DeleteDevicesParts = Readonly<{
  fleet: FleetReader;
  reportStore: Pick<ReportStore, "deleteDevice" | "presenceOf" | "deletePresence" | "listShards">;
  presentGroups: Pick<PresentGroups, "forget">;
  changeFeed: Pick<ChangeFeed, "publish">;
  log: Log;
}>;

type Matched = { count: number; ids: string[] };

/** Forgets devices that have been offline for long, or counts them. Nothing is changed unless all of it is allowed. */
export async function deleteDevices(
  { fleet, reportStore, presentGroups, changeFeed, log }: DeleteDevicesParts,
  request: DeleteDevicesRequest,
  { principal, requestId, changed, signal }: CallContext,
): Promise<MessageInitShape<typeof DeleteDevicesResponseSchema>> {
  assertNoViolations(violationsOf(request));
  const { deviceGroup, dryRun } = request;
  const matched = new Map<string, Matched>();
  let online = 0;
  if (deviceGroup !== "") {
    assertPermitted(principal, { kind: "write", entity: groupKey(deviceGroup) }, false);
    await match(deviceGroup);
  } else for await (const name of fleet.readableGroups(principal, { after: "" }, signal)) await match(name);

  /** Notes the devices of a group that are to be forgotten. */
  async function match(name: string): Promise<void> {
    using view = deviceGroup === "" ? await fleet.open(name, signal) : await fleet.openNamed(name, signal);
    const [nowMs, longerMs] = [fleet.nowMs(), Number(request.offlineLongerMs)];
    const of: Matched = { count: 0, ids: [] };
    for (const device of view.devices.values()) {
      if (longerMs > 0 && !(offlineMs(device, nowMs) > longerMs)) continue;
      if (device.connection.state === ConnectionState.ONLINE) online++;
      of.count++;
      if (of.ids.length < MOST_DELETED) of.ids.push(device.deviceId);
    }
    if (of.count === 0) return;
    assertPermitted(principal, { kind: "write", entity: groupKey(name) }, false);
    matched.set(name, of);
  }

  /** Forgets devices, and their watches that ended. One that came back meanwhile is left out, without force; one that somebody else forgot does not count. */
  async function forget(deviceIds: readonly string[]): Promise<Readonly<{ forgotten: readonly string[]; markers: readonly StatusRow[] }>> {
    const [watches, boots] = [await reportStore.presenceOf(deviceIds, signal), bootsAt(await reportStore.listShards(signal), fleet.nowMs())];
    const isOpen = ({ ended, shardBoot }: PresenceRow) => !ended && boots.get(shardBoot)?.lives === true;
    const rowsOf = (deviceId: string) => watches.get(deviceId) ?? [];
    const away = request.force ? deviceIds : deviceIds.filter((deviceId) => !rowsOf(deviceId).some(isOpen));
    const markers = await mapLimited(away, AT_ONCE, (deviceId) => reportStore.deleteDevice(deviceId, signal));
    const over = away.flatMap((deviceId) => rowsOf(deviceId).filter((row) => !isOpen(row)));
    for (let start = 0; start < over.length; start += ROWS) await reportStore.deletePresence(over.slice(start, start + ROWS), signal);
    const ended = new Set(over.map(({ deviceId }) => deviceId));
    return {
      forgotten: away.filter((deviceId, index) => markers[index] !== undefined || ended.has(deviceId)),
      markers: markers.filter((row) => row !== undefined),
    };
  }

  const total = [...matched.values()].reduce((sum, { count }) => sum + count, 0);
  const deviceGroups = [...matched]
    .sort(([, a], [, b]) => b.count - a.count)
    .slice(0, MOST_GROUPS_NAMED)
    .map(([name, { count }]) => ({ deviceGroup: name, devices: BigInt(count) }));
  if (dryRun) return { deleted: 0n, remaining: BigInt(total), deviceGroups };
  if (online > 0 && !request.force) {
    throw new NebulaError(
      "failed_precondition",
      `${online} of these devices are online, and would be back with their next reports: set force to forget them`,
    );
  }

  let deleted = 0;
  let looked = 0;
  for (const [name, { ids }] of matched) {
    const part = ids.slice(0, MOST_DELETED - looked);
    if (part.length === 0) break;
    looked += part.length;
    const { forgotten, markers } = await forget(part);
    for (const { device } of markers) presentGroups.forget(device.deviceId);
    for (const event of statusAnnouncements(markers.map((row) => ({ before: undefined, row })))) changeFeed.publish(event);
    deleted += forgotten.length;
    if (forgotten.length === 0) continue;
    const more = forgotten.length > NAMED ? ` and ${forgotten.length - NAMED} more` : "";
    changed({ kind: "device_group", name, detail: `devices forgotten: ${forgotten.slice(0, NAMED).join(", ")}${more}` });
    log.info({ deviceGroup: name, devices: forgotten.length, by: nameOf(principal), requestId }, "devices forgotten");
  }
  return { deleted: BigInt(deleted), remaining: BigInt(total - looked), deviceGroups };
}

function violationsOf({ deviceGroup, offlineLongerMs }: DeleteDevicesRequest): Violation[] {
  const description =
    'invalid offline_longer_ms "0" without a device_group; use milliseconds, such as 7776000000 for 90 days, or name the device_group';
  return [
    ...(deviceGroup === "" ? [] : validateName(deviceGroup, "device_group")),
    ...(deviceGroup === "" && offlineLongerMs === 0n ? [{ field: "offline_longer_ms", description }] : []),
  ];
}
