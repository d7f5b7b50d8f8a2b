import { create, toBinary } from "@bufbuild/protobuf";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { hasFilter } from "../../../common/insight/device-filter.ts";
import { stateOfDevice } from "../../../common/insight/device-state.ts";
import { decodeDevicePosition, encodeDevicePosition, PAGE_BYTES, type PageRequest } from "../../../common/storage/page.ts";
import type { ReportStore } from "../../../common/storage/report-store.ts";
import { ConfigStanding, type Device, type DeviceFilter, DeviceOrder, DeviceSchema } from "../../../gen/nebula/v1/device_pb.ts";
import type { Principal } from "../../access/principal.ts";
import type { DeviceInGroup, GroupView } from "../../insight/views/group-view.ts";
import { lookInTurns } from "../../insight/views/in-turns.ts";
import { withoutMoving } from "../../insight/views/without-moving.ts";
import { decodePlace, encodePlace, FirstInOrder, type Found, type OrderFields, type Place } from "./device-order.ts";
import { type Followed, matcherOf } from "./device-target.ts";
import type { Compared, FleetReader } from "./fleet-reader.ts";

/** Groups that one call looks at. */
const MOST_GROUPS = 100;
/** Rows that are read at a time for a page with reports. */
const BODIES = 50;
/** Groups, and devices, that one call puts in an order: it looks at all of them for each page. docs/limits.md names them. */
export const MOST_GROUPS_IN_ORDER = 1000;
export const MOST_IN_ORDER = 100_000;

export type ListDevicesParts = Readonly<{ fleet: FleetReader; reportStore: Pick<ReportStore, "statuses"> }>;

export type DevicesAsked = Readonly<{
  /** Empty: of all groups that the caller may read. */
  deviceGroup: string;
  filter: DeviceFilter;
  summariesOnly: boolean;
  page: PageRequest;
}> &
  OrderFields;

/** With the target of the filter. */
type FollowedAsked = DevicesAsked & Readonly<{ followed: Followed | undefined }>;

/** Devices of a page, those that move among them. `next`: the token of the next page. */
type FoundPage = Readonly<{ found: readonly Found[]; next: string; positionOf: (found: Found) => string }>;
export type DevicePage = Readonly<{ devices: Device[]; nextPageToken: string }>;

/** Lists devices from the views of their groups: online, offline and never reported ones. No body is read but those of the devices that are answered. */
export async function listDevices(parts: ListDevicesParts, asked: DevicesAsked, principal: Principal, signal: AbortSignal): Promise<DevicePage> {
  const find = asked.order === DeviceOrder.UNSPECIFIED ? findByGroup : findInOrder;
  const followed = await parts.fleet.followed(asked.filter, principal, signal);
  const { found, next, positionOf } = await find(parts, { ...asked, followed }, principal, signal);
  const here = await withoutMoving(parts.reportStore, found, signal);
  if (asked.summariesOnly) return { devices: here.map((each) => answered(each)), nextPageToken: next };
  return withBodies(parts.reportStore, { found: here, next, positionOf }, signal);
}

/** Finds a page by group and id: no more groups are looked at than it takes to fill the page. */
async function findByGroup(
  { fleet }: ListDevicesParts,
  { deviceGroup, filter, followed, page }: FollowedAsked,
  principal: Principal,
  signal: AbortSignal,
): Promise<FoundPage> {
  const from = page.after === undefined ? { deviceGroup: "", deviceId: "" } : decodeDevicePosition(page.after);
  const found: Found[] = [];
  let next = "";
  let looked = 0;

  const lastPosition = () => {
    const last = found.at(-1);
    return last === undefined ? "" : positionOf(last);
  };

  /** Answers whether the page is full. */
  async function take(view: GroupView): Promise<boolean> {
    const after = view.deviceGroup === from.deviceGroup ? from.deviceId : "";
    const rest = [...view.devices.values()].filter(({ deviceId }) => deviceId > after);
    const matching = [...(await matchingDevices(fleet, view.deviceGroup, rest, { filter, followed }, signal))];
    matching.sort((a, b) => (a.deviceId < b.deviceId ? -1 : 1));
    const room = page.limit - found.length;
    found.push(...matching.slice(0, room).map((device) => ({ deviceGroup: view.deviceGroup, device })));
    return matching.length > room;
  }

  if (deviceGroup !== "") {
    using view = await fleet.openNamed(deviceGroup, signal, { isNextPage: page.after !== undefined });
    if (await take(view)) next = lastPosition();
  } else {
    const start = from.deviceGroup === "" ? { after: "" } : { after: from.deviceGroup, first: from.deviceGroup };
    for await (const name of fleet.readableGroups(principal, start, signal)) {
      if (followed?.deviceGroups.has(name) === false) continue;
      if (looked++ === MOST_GROUPS || found.length === page.limit) {
        next = found.length === page.limit ? lastPosition() : encodeDevicePosition({ deviceGroup: name, deviceId: "" });
        break;
      }
      using view = await fleet.open(name, signal, { isNextPage: name === from.deviceGroup });
      if (await take(view)) {
        next = lastPosition();
        break;
      }
    }
  }
  return { found, next, positionOf };
}

/** Finds a page in an order: all devices are looked at, and no more than two pages of them are held. */
async function findInOrder(
  { fleet }: ListDevicesParts,
  { deviceGroup, filter, followed, page, order, descending }: FollowedAsked,
  principal: Principal,
  signal: AbortSignal,
): Promise<FoundPage> {
  const after = page.after === undefined ? undefined : decodePlace({ order, descending }, page.after);
  const first = new FirstInOrder({ order, descending }, after, page.limit);
  let [groups, devices] = [0, 0];

  async function add(view: GroupView): Promise<void> {
    groups++;
    devices += view.devices.size;
    if (groups > MOST_GROUPS_IN_ORDER || devices > MOST_IN_ORDER) throw tooManyInOrder();
    const compared = order === DeviceOrder.STANDING ? await fleet.compared(view.deviceGroup, signal) : undefined;
    const matching = await matchingDevices(fleet, view.deviceGroup, [...view.devices.values()], { filter, followed, compared }, signal);
    await first.add(view.deviceGroup, matching, (compared ?? NOT_COMPARED).standingOf, signal);
  }

  if (deviceGroup !== "") {
    using view = await fleet.openNamed(deviceGroup, signal, { isNextPage: page.after !== undefined });
    await add(view);
  } else {
    for await (const name of fleet.readableGroups(principal, { after: "" }, signal)) {
      if (followed?.deviceGroups.has(name) === false) continue;
      using view = await fleet.open(name, signal, { isNextPage: true }); // of each page all of them are opened
      await add(view);
    }
  }
  const { found, hasMore } = first.take();
  const places = new Map<Found, Place>(found.map((each) => [each, each.place]));
  const positionOf = (each: Found) => {
    const place = places.get(each);
    return place === undefined ? "" : encodePlace({ order, descending }, place);
  };
  const last = found.at(-1);
  return { found, next: hasMore && last !== undefined ? positionOf(last) : "", positionOf };
}

function tooManyInOrder(): NebulaError {
  return new NebulaError(
    "failed_precondition",
    `there are more than ${MOST_IN_ORDER} devices, or ${MOST_GROUPS_IN_ORDER} device_groups, to put in order; name a device_group, or no order`,
  );
}

/**
 * The devices of a group that match a filter, of which `followed` is the target. The newest config of the group is read where the filter compares with it, and
 * the caller has not read it: `compared`.
 */
export async function matchingDevices(
  fleet: FleetReader,
  deviceGroup: string,
  devices: readonly DeviceInGroup[],
  { filter, followed, compared }: Readonly<{ filter: DeviceFilter | undefined; followed: Followed | undefined; compared?: Compared | undefined }>,
  signal: AbortSignal,
): Promise<readonly DeviceInGroup[]> {
  if (!hasFilter(filter)) return devices;
  const isCompared = filter.notNewest || (filter.standing !== ConfigStanding.UNSPECIFIED && followed === undefined);
  const beside = isCompared ? (compared ?? (await fleet.compared(deviceGroup, signal))) : NOT_COMPARED;
  const matches = matcherOf(filter, deviceGroup, beside, followed);
  const nowMs = fleet.nowMs();
  const matching: DeviceInGroup[] = [];
  const keep = (device: DeviceInGroup) => {
    if (matches(device, nowMs)) matching.push(device);
  };
  await lookInTurns(devices, keep, signal);
  return matching;
}

/** Of a filter that compares with no config. */
const NOT_COMPARED: Compared = { newest: undefined, standingOf: (device) => stateOfDevice(device, []) };

/** Reads the rows of a page, which ends early when they are large. */
async function withBodies(store: Pick<ReportStore, "statuses">, { found, next, positionOf }: FoundPage, signal: AbortSignal): Promise<DevicePage> {
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
      const last = found[start + index - 1];
      if (size > PAGE_BYTES && last !== undefined) return { devices, nextPageToken: positionOf(last) };
      devices.push(device);
    }
  }
  return { devices, nextPageToken: next };
}

/** A device as lists and watches answer it. @param row its row, for the report and what is known of its boots */
export function answered({ deviceGroup, device: { deviceId, summary, connection } }: Found, row?: Device): Device {
  return { ...(row ?? create(DeviceSchema, { deviceId })), deviceGroup, connection, ...(summary && { summary }) };
}

function positionOf({ deviceGroup, device: { deviceId } }: Found): string {
  return encodeDevicePosition({ deviceGroup, deviceId });
}
