import { invalidArgument, NebulaError } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import type { ReportStore } from "../../common/storage/report-store.ts";
import { pageOf, validatePage } from "../../common/validation/page.ts";
import { shown } from "../../common/validation/quote.ts";
import { deviceIdViolations } from "../../common/validation/report.ts";
import { validateStatusFilter } from "../../common/validation/status-filter.ts";
import type { Device, DeviceService } from "../../gen/nebula/v1/device_pb.ts";
import { TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { groupKey } from "../access/group-key.ts";
import { permit } from "../access/permit.ts";
import type { PresentGroups } from "../access/present-groups.ts";
import { readableBy, type VisiblePages } from "../access/visible-pages.ts";
import { nameOf, type Principal, type ServiceHandlers } from "../rpc/call-context.ts";

export type DeviceServiceParts = Readonly<{
  reportStore: Pick<ReportStore, "getDevice" | "listDevices" | "deleteDevice">;
  presentGroups: Pick<PresentGroups, "forget">;
  visiblePages: VisiblePages;
  log: Log;
}>;

/** DeviceService: the newest status of each device. */
export function createDeviceServiceHandlers(parts: DeviceServiceParts): ServiceHandlers<typeof DeviceService> {
  const { reportStore, presentGroups, visiblePages, log } = parts;

  /** A device that the caller may see; one that it may not see is as unknown as one that never reported. */
  async function visibleDevice(deviceId: string, principal: Principal): Promise<Device> {
    const device = await reportStore.getDevice(deviceId);
    if (device === undefined || readableDevices(principal)?.(device) === false) throw unknownDevice(deviceId);
    return device;
  }

  return {
    async getDevice({ deviceId }, { principal }) {
      checkDeviceId(deviceId);
      return { device: await visibleDevice(deviceId, principal) };
    },

    async listDevices(request, { principal }) {
      const violations = [...validatePage(request), ...validateStatusFilter(request)];
      if (violations.length > 0) throw invalidArgument(violations);
      const { deviceGroup, state } = request;
      if (deviceGroup !== "") permit(principal, { kind: "read", entity: groupKey(deviceGroup) }, false);
      const filter = { ...(deviceGroup === "" ? {} : { deviceGroup }), ...(state === TargetState.UNSPECIFIED ? {} : { state }) };
      const { items, next } = await visiblePages((part) => reportStore.listDevices(filter, part), pageOf(request), readableDevices(principal));
      return { devices: [...items], nextPageToken: next ?? "" };
    },

    async deleteDevice({ deviceId }, { principal, requestId, changed }) {
      checkDeviceId(deviceId);
      const { deviceGroup } = await visibleDevice(deviceId, principal);
      permit(principal, { kind: "write", entity: groupKey(deviceGroup) }, false);
      if (!(await reportStore.deleteDevice(deviceId))) throw unknownDevice(deviceId);
      presentGroups.forget(deviceId);
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
  if (violations.length > 0) throw invalidArgument(violations);
}

function unknownDevice(deviceId: string): NebulaError {
  return new NebulaError("not_found", `device '${shown(deviceId)}' never reported: the list of devices has those that did`);
}
