import { create } from "@bufbuild/protobuf";
import { assertNoViolations, NebulaError } from "../../common/errors/nebula-error.ts";
import type { ChangeFeed } from "../../common/feed/change-feed.ts";
import { validateDeviceFilter } from "../../common/insight/device-filter.ts";
import { statusAnnouncements } from "../../common/insight/status-announcements.ts";
import type { Log } from "../../common/log/log.ts";
import type { ReportStore } from "../../common/storage/report-store.ts";
import { noSuch } from "../../common/text/no-such.ts";
import { shown } from "../../common/text/wording.ts";
import { pageOf, validatePage, validateStatusFilter } from "../../common/validation/list-request.ts";
import { deviceIdViolations } from "../../common/validation/names.ts";
import { type Device, DeviceFilterSchema, type DeviceService } from "../../gen/nebula/v1/device_pb.ts";
import { TargetState } from "../../gen/nebula/v1/report_pb.ts";
import type { PresentGroups } from "../access/present-groups.ts";
import { nameOf, type Principal } from "../access/principal.ts";
import type { Need } from "../access/rights/method-table.ts";
import { assertPermitted, isPermitted } from "../access/rights/permit.ts";
import { groupKey } from "../access/rights/rights.ts";
import { readableBy } from "../access/rights/visible-pages.ts";
import type { DeviceConnections } from "../insight/presence/device-connections.ts";
import type { ServiceHandlers } from "../rpc/call-context.ts";
import { validateDeviceOrder } from "./devices/device-order.ts";
import type { FleetHandlers } from "./devices/fleet-handlers.ts";

export type DeviceServiceParts = Readonly<{
  reportStore: Pick<ReportStore, "getDevice" | "deleteDevice" | "deletePresence">;
  deviceConnections: Pick<DeviceConnections, "withConnections" | "withoutReport" | "endedRows">;
  presentGroups: Pick<PresentGroups, "forget">;
  changeFeed: Pick<ChangeFeed, "publish">;
  listDevices: FleetHandlers["listDevices"];
  log: Log;
}>;

/** DeviceService: the newest status of each device. */
export function createDeviceServiceHandlers(
  parts: DeviceServiceParts,
): Pick<ServiceHandlers<typeof DeviceService>, "getDevice" | "listDevices" | "deleteDevice"> {
  const { reportStore, deviceConnections, presentGroups, changeFeed, listDevices, log } = parts;

  /** A device that the caller may see, with its connection; one that it may not see is as unknown as one that never connected. */
  async function visibleDevice(deviceId: string, principal: Principal, signal: AbortSignal): Promise<Device> {
    const reported = await reportStore.getDevice(deviceId, signal);
    const [device] = reported
      ? await deviceConnections.withConnections([reported], signal)
      : [await deviceConnections.withoutReport(deviceId, signal)];
    if (device === undefined || readableDevices(principal)?.(device) === false) throw unknownDevice(deviceId);
    return device;
  }

  return {
    async getDevice({ deviceId }, { principal, signal }) {
      checkDeviceId(deviceId);
      const device = await visibleDevice(deviceId, principal, signal);
      return { device, mayForget: isPermitted(principal, forgetting(device), false) };
    },

    async listDevices(request, { principal, signal }) {
      const filterViolations = [...validateStatusFilter(request), ...validateDeviceFilter(request.filter)];
      assertNoViolations([...validatePage(request), ...filterViolations, ...validateDeviceOrder(request)]);
      const { deviceGroup, state, summariesOnly, order, descending } = request;
      if (deviceGroup !== "") assertPermitted(principal, { kind: "read", entity: groupKey(deviceGroup) }, false);
      const filter = create(DeviceFilterSchema, request.filter);
      if (filter.state !== TargetState.UNSPECIFIED && state !== TargetState.UNSPECIFIED && filter.state !== state) return {};
      if (filter.state === TargetState.UNSPECIFIED) filter.state = state;
      return listDevices({ deviceGroup, filter, summariesOnly, order, descending, page: pageOf(request) }, principal, signal);
    },

    async deleteDevice({ deviceId }, { principal, requestId, changed, signal }) {
      checkDeviceId(deviceId);
      const device = await visibleDevice(deviceId, principal, signal);
      assertPermitted(principal, forgetting(device), false);
      const ended = await deviceConnections.endedRows(deviceId, signal);
      const marker = await reportStore.deleteDevice(deviceId, signal);
      await reportStore.deletePresence(ended, signal); // a device that is connected stays one
      if (marker === undefined && ended.length === 0) throw connectedDevice(deviceId);
      presentGroups.forget(deviceId);
      if (marker !== undefined) for (const event of statusAnnouncements([{ before: undefined, row: marker }])) changeFeed.publish(event);
      changed({ kind: "device", name: deviceId, detail: "its newest status was forgotten" });
      log.info({ deviceId, by: nameOf(principal), requestId }, "device forgotten");
      return {};
    },
  };
}

/** The right that a caller needs to forget a device. */
function forgetting({ deviceGroup }: Device): Need {
  return { kind: "write", entity: groupKey(deviceGroup) };
}

function readableDevices(principal: Principal) {
  return readableBy<Device>(principal, "device_group", ({ deviceGroup }) => deviceGroup);
}

function checkDeviceId(deviceId: string): void {
  const violations = deviceIdViolations(deviceId, "device_id");
  assertNoViolations(violations);
}

function unknownDevice(deviceId: string): NebulaError {
  return noSuch("device", deviceId, "it never connected or reported; the list of devices has those that did");
}

function connectedDevice(deviceId: string): NebulaError {
  return new NebulaError(
    "failed_precondition",
    `device '${shown(deviceId)}' is connected and never reported: there is nothing to forget; stop its worker first`,
  );
}
