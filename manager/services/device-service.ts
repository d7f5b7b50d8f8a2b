import { assertNoViolations, NebulaError } from "../../common/errors/nebula-error.ts";
import type { ChangeFeed } from "../../common/feed/change-feed.ts";
import { statusAnnouncements } from "../../common/insight/status-announcements.ts";
import type { Log } from "../../common/log/log.ts";
import type { ReportStore } from "../../common/storage/report-store.ts";
import { shown } from "../../common/text/wording.ts";
import { pageOf, validatePage, validateStatusFilter } from "../../common/validation/list-request.ts";
import { deviceIdViolations } from "../../common/validation/names.ts";
import type { Device, DeviceService } from "../../gen/nebula/v1/device_pb.ts";
import { TargetState } from "../../gen/nebula/v1/report_pb.ts";
import type { PresentGroups } from "../access/present-groups.ts";
import { nameOf, type Principal } from "../access/principal.ts";
import { assertPermitted } from "../access/rights/permit.ts";
import { groupKey } from "../access/rights/rights.ts";
import { readableBy, type VisiblePages } from "../access/rights/visible-pages.ts";
import type { ServiceHandlers } from "../rpc/call-context.ts";

export type DeviceServiceParts = Readonly<{
  reportStore: Pick<ReportStore, "getDevice" | "listDevices" | "deleteDevice">;
  presentGroups: Pick<PresentGroups, "forget">;
  changeFeed: Pick<ChangeFeed, "publish">;
  visiblePages: VisiblePages;
  log: Log;
}>;

/** DeviceService: the newest status of each device. */
export function createDeviceServiceHandlers(
  parts: DeviceServiceParts,
): Pick<ServiceHandlers<typeof DeviceService>, "getDevice" | "listDevices" | "deleteDevice"> {
  const { reportStore, presentGroups, changeFeed, visiblePages, log } = parts;

  /** A device that the caller may see; one that it may not see is as unknown as one that never reported. */
  async function visibleDevice(deviceId: string, principal: Principal, signal: AbortSignal): Promise<Device> {
    const device = await reportStore.getDevice(deviceId, signal);
    if (device === undefined || readableDevices(principal)?.(device) === false) throw unknownDevice(deviceId);
    return device;
  }

  return {
    async getDevice({ deviceId }, { principal, signal }) {
      checkDeviceId(deviceId);
      return { device: await visibleDevice(deviceId, principal, signal) };
    },

    async listDevices(request, { principal, signal }) {
      const violations = [...validatePage(request), ...validateStatusFilter(request)];
      assertNoViolations(violations);
      const { deviceGroup, state } = request;
      if (deviceGroup !== "") assertPermitted(principal, { kind: "read", entity: groupKey(deviceGroup) }, false);
      const filter = { ...(deviceGroup === "" ? {} : { deviceGroup }), ...(state === TargetState.UNSPECIFIED ? {} : { state }) };
      const { items, next } = await visiblePages(
        (part) => reportStore.listDevices(filter, part, signal),
        pageOf(request),
        readableDevices(principal),
      );
      return { devices: [...items], nextPageToken: next ?? "" };
    },

    async deleteDevice({ deviceId }, { principal, requestId, changed, signal }) {
      checkDeviceId(deviceId);
      const { deviceGroup } = await visibleDevice(deviceId, principal, signal);
      assertPermitted(principal, { kind: "write", entity: groupKey(deviceGroup) }, false);
      const marker = await reportStore.deleteDevice(deviceId, signal);
      if (marker === undefined) throw unknownDevice(deviceId);
      presentGroups.forget(deviceId);
      for (const event of statusAnnouncements([{ before: undefined, row: marker }])) changeFeed.publish(event);
      changed({ kind: "device", name: deviceId, detail: "its newest status was forgotten" });
      log.info({ deviceId, by: nameOf(principal), requestId }, "device forgotten");
      return {};
    },
  };
}

function readableDevices(principal: Principal) {
  return readableBy<Device>(principal, "device_group", ({ deviceGroup }) => deviceGroup);
}

function checkDeviceId(deviceId: string): void {
  const violations = deviceIdViolations(deviceId, "device_id");
  assertNoViolations(violations);
}

function unknownDevice(deviceId: string): NebulaError {
  return new NebulaError("not_found", `device '${shown(deviceId)}' never reported: the list of devices has those that did`);
}
