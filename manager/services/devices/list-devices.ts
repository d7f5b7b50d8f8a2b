import { setImmediate as turn } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { hasFilter, matchesFilter } from "../../../common/insight/device-filter.ts";
import { stateOfDevice } from "../../../common/insight/device-state.ts";
import { decodeDevicePosition, encodeDevicePosition, PAGE_BYTES, type PageRequest } from "../../../common/storage/page.ts";
import type { ReportStore } from "../../../common/storage/report-store.ts";
import { ConfigStanding, type Device, type DeviceFilter, DeviceSchema } from "../../../gen/nebula/v1/device_pb.ts";
import type { Principal } from "../../access/principal.ts";
import type { DeviceInGroup, GroupView } from "../../insight/views/group-view.ts";
import { withoutMoving } from "../../insight/views/without-moving.ts";
import type { Compared, FleetReader } from "./fleet-reader.ts";

/** Groups that one call looks at. */
const MOST_GROUPS = 100;
/** Rows that are read at a time for a page with reports. */
const BODIES = 50;
/** Devices that a filter looks at in one turn of the event loop. */
const AT_ONCE = 500;

export type ListDevicesParts = Readonly<{ fleet: FleetReader; reportStore: Pick<ReportStore, "statuses"> }>;

export type DevicesAsked = Readonly<{
  /** Empty: of all groups that the caller may read. */
  deviceGroup: string;
  filter: DeviceFilter;
  summariesOnly: boolean;
  page: PageRequest;
}>;

type Found = Readonly<{ deviceGroup: string; device: DeviceInGroup }>;
export type DevicePage = Readonly<{ devices: Device[]; nextPageToken: string }>;

/**
 * Lists devices by group and id from the views of their groups: online, offline and never reported ones. No body is read but those of the devices that are
 * answered.
 */
export async function listDevices(
  { fleet, reportStore }: ListDevicesParts,
  { deviceGroup, filter, summariesOnly, page }: DevicesAsked,
  principal: Principal,
  signal: AbortSignal,
): Promise<DevicePage> {
  const from = page.after === undefined ? { deviceGroup: "", deviceId: "" } : decodeDevicePosition(page.after);
  const found: Found[] = [];
  let next = "";
  let looked = 0;

  /** Answers whether the page is full. */
  async function take(view: GroupView): Promise<boolean> {
    const after = view.deviceGroup === from.deviceGroup ? from.deviceId : "";
    const rest = [...view.devices.values()].filter(({ deviceId }) => deviceId > after);
    const matching = [...(await matchingDevices(fleet, view.deviceGroup, rest, filter, signal))];
    matching.sort((a, b) => (a.deviceId < b.deviceId ? -1 : 1));
    const room = page.limit - found.length;
    found.push(...matching.slice(0, room).map((device) => ({ deviceGroup: view.deviceGroup, device })));
    return matching.length > room;
  }

  if (deviceGroup !== "") {
    using view = await fleet.openNamed(deviceGroup, signal, { isNextPage: page.after !== undefined });
    if (await take(view)) next = positionOf(found.at(-1));
  } else {
    const start = from.deviceGroup === "" ? { after: "" } : { after: from.deviceGroup, first: from.deviceGroup };
    for await (const name of fleet.readableGroups(principal, start, signal)) {
      if (looked++ === MOST_GROUPS || found.length === page.limit) {
        next = found.length === page.limit ? positionOf(found.at(-1)) : encodeDevicePosition({ deviceGroup: name, deviceId: "" });
        break;
      }
      using view = await fleet.open(name, signal, { isNextPage: name === from.deviceGroup });
      if (await take(view)) {
        next = positionOf(found.at(-1));
        break;
      }
    }
  }
  const here = await withoutMoving(reportStore, found, signal);
  if (summariesOnly) return { devices: here.map((each) => answered(each)), nextPageToken: next };
  return withBodies(reportStore, here, next, signal);
}

/** The devices of a group that match a filter. Each group's newest config is read where the filter compares with it. */
export async function matchingDevices(
  fleet: FleetReader,
  deviceGroup: string,
  devices: readonly DeviceInGroup[],
  filter: DeviceFilter | undefined,
  signal: AbortSignal,
): Promise<readonly DeviceInGroup[]> {
  if (!hasFilter(filter)) return devices;
  const isCompared = filter.notNewest || filter.standing !== ConfigStanding.UNSPECIFIED;
  const compared = isCompared ? await fleet.compared(deviceGroup, signal) : NOT_COMPARED;
  const context = { nowMs: fleet.nowMs(), ...compared };
  const matching: DeviceInGroup[] = [];
  for (const [index, device] of devices.entries()) {
    if (index > 0 && index % AT_ONCE === 0) {
      await turn();
      signal.throwIfAborted();
    }
    if (matchesFilter(device, filter, context)) matching.push(device);
  }
  return matching;
}

/** Of a filter that compares with no config. */
const NOT_COMPARED: Compared = { newest: undefined, standingOf: (device) => stateOfDevice(device, []) };

/** Reads the rows of a page, which ends early when they are large. */
async function withBodies(store: Pick<ReportStore, "statuses">, found: readonly Found[], next: string, signal: AbortSignal): Promise<DevicePage> {
  const devices: Device[] = [];
  let size = 0;
  for (let start = 0; start < found.length; start += BODIES) {
    const part = found.slice(start, start + BODIES);
    const rows = await store.statuses(
      part.map(({ device }) => device.deviceId),
      signal,
    );
    for (const [index, each] of part.entries()) {
      const row = rows.get(each.device.deviceId);
      const device = answered(each, row?.deleted === true ? undefined : row?.device);
      size += toBinary(DeviceSchema, device).length;
      if (size > PAGE_BYTES && devices.length > 0) return { devices, nextPageToken: positionOf(found[start + index - 1]) };
      devices.push(device);
    }
  }
  return { devices, nextPageToken: next };
}

/** A device as lists and watches answer it. @param row its row, for the report and what is known of its boots */
export function answered({ deviceGroup, device: { deviceId, summary, connection } }: Found, row?: Device): Device {
  return { ...(row ?? create(DeviceSchema, { deviceId })), deviceGroup, connection, ...(summary && { summary }) };
}

function positionOf(found: Found | undefined): string {
  return found === undefined ? "" : encodeDevicePosition({ deviceGroup: found.deviceGroup, deviceId: found.device.deviceId });
}
