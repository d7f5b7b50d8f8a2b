import { assertNoViolations } from "../../../common/errors/nebula-error.ts";
import { hasFilter, validateDeviceFilter } from "../../../common/insight/device-filter.ts";
import { DeviceTally } from "../../../common/insight/device-tally.ts";
import type { AccessStore } from "../../../common/storage/access-store.ts";
import type { ReportStore } from "../../../common/storage/report-store.ts";
import { pageTokenViolation, validatePage } from "../../../common/validation/list-request.ts";
import { isName, validateName } from "../../../common/validation/names.ts";
import type { CountDevicesRequest, DeviceCounts } from "../../../gen/nebula/v1/device_pb.ts";
import type { Principal } from "../../access/principal.ts";
import { assertPermitted } from "../../access/rights/permit.ts";
import { groupKey } from "../../access/rights/rights.ts";
import type { GroupView } from "../../insight/views/group-view.ts";
import { withoutMoving } from "../../insight/views/without-moving.ts";
import type { FleetReader } from "./fleet-reader.ts";
import { matchingDevices } from "./list-devices.ts";

/** Groups of a page. */
const MOST_GROUPS = 100;
/** Tokens that are read at a time. */
const TOKENS = 1000;

export type CountDevicesParts = Readonly<{
  fleet: FleetReader;
  accessStore: Pick<AccessStore, "listDeviceTokens">;
  reportStore: Pick<ReportStore, "statuses">;
}>;

/** Counts the devices of one group, or of a page of the groups that the caller may read: each device that is listed there. */
export async function countDevices(
  { fleet, accessStore, reportStore }: CountDevicesParts,
  request: CountDevicesRequest,
  principal: Principal,
  signal: AbortSignal,
): Promise<{ deviceGroups: DeviceCounts[]; nextPageToken: string }> {
  assertNoViolations(violationsOf(request));
  const { deviceGroup, pageSize, pageToken, enrolled, filter } = request;
  const followed = await fleet.followed(filter, principal, signal);

  /** Counts the devices of a group; nothing where it does not exist and has none. */
  async function counted(view: GroupView): Promise<DeviceCounts[]> {
    const compared = await fleet.compared(view.deviceGroup, signal);
    const { newest } = compared;
    if (newest === undefined && view.devices.size === 0) return [];
    const tally = new DeviceTally(newest);
    const devices = await matchingDevices(fleet, view.deviceGroup, [...view.devices.values()], { filter, followed, compared }, signal);
    const found = devices.map((device) => ({ deviceGroup: view.deviceGroup, device }));
    for (const { device } of await withoutMoving(reportStore, found, signal)) tally.add(device);
    const counts = tally.counts(view.deviceGroup);
    if (enrolled) counts.neverCame = hasFilter(filter) ? 0n : BigInt((await neverCame(accessStore, view, signal)).size);
    return [counts];
  }

  if (deviceGroup !== "") {
    assertPermitted(principal, { kind: "read", entity: groupKey(deviceGroup) }, false);
    using view = await fleet.openNamed(deviceGroup, signal);
    return { deviceGroups: await counted(view), nextPageToken: "" };
  }
  const limit = pageSize === 0 ? MOST_GROUPS : pageSize;
  const deviceGroups: DeviceCounts[] = [];
  for await (const name of fleet.readableGroups(principal, { after: pageToken }, signal)) {
    if (deviceGroups.length === limit) return { deviceGroups, nextPageToken: deviceGroups.at(-1)?.deviceGroup ?? "" };
    using view = await fleet.open(name, signal);
    deviceGroups.push(...(await counted(view)));
  }
  return { deviceGroups, nextPageToken: "" };
}

/** Ids of devices that have a token of their own, and are not in the view of their group. */
export async function neverCame(
  accessStore: CountDevicesParts["accessStore"],
  { deviceGroup, devices }: Pick<GroupView, "deviceGroup" | "devices">,
  signal: AbortSignal,
): Promise<Set<string>> {
  const ids = new Set<string>();
  for (let after: string | undefined; ; ) {
    const page = { limit: TOKENS, ...(after === undefined ? {} : { after }) };
    const { items, next } = await accessStore.listDeviceTokens({ deviceGroup }, page, signal);
    for (const { deviceId } of items) if (!devices.has(deviceId)) ids.add(deviceId);
    if (next === undefined) return ids;
    after = next;
  }
}

function violationsOf({ deviceGroup, pageSize, pageToken, filter }: CountDevicesRequest) {
  const size = { field: "page_size", description: `${pageSize} is too many; use 1 to ${MOST_GROUPS}, or 0 for ${MOST_GROUPS}` };
  return [
    ...(deviceGroup === "" ? [] : validateName(deviceGroup, "device_group")),
    ...(pageSize > MOST_GROUPS ? [size] : validatePage({ pageSize, pageToken })),
    ...(pageToken === "" || isName(pageToken) ? [] : [pageTokenViolation(pageToken)]),
    ...validateDeviceFilter(filter),
  ];
}
