import { invalidArgument, NebulaError } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import type { ReportStore } from "../../common/storage/report-store.ts";
import { pageOf, validatePage } from "../../common/validation/page.ts";
import { deviceIdViolations } from "../../common/validation/report.ts";
import { validateStatusFilter } from "../../common/validation/status-filter.ts";
import type { DeviceService } from "../../gen/nebula/v1/device_pb.ts";
import { TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { nameOf, type ServiceHandlers } from "../rpc/call-context.ts";

export type DeviceServiceParts = Readonly<{
  reportStore: Pick<ReportStore, "getDevice" | "listDevices" | "deleteDevice">;
  log: Log;
}>;

/** DeviceService: the newest status of each device. */
export function createDeviceServiceHandlers({ reportStore, log }: DeviceServiceParts): ServiceHandlers<typeof DeviceService> {
  return {
    async getDevice({ deviceId }) {
      checkDeviceId(deviceId);
      const device = await reportStore.getDevice(deviceId);
      if (device === undefined) throw unknownDevice(deviceId);
      return { device };
    },

    async listDevices(request) {
      const violations = [...validatePage(request), ...validateStatusFilter(request)];
      if (violations.length > 0) throw invalidArgument(violations);
      const { deviceGroup, state } = request;
      const filter = { ...(deviceGroup === "" ? {} : { deviceGroup }), ...(state === TargetState.UNSPECIFIED ? {} : { state }) };
      const { items, next } = await reportStore.listDevices(filter, pageOf(request));
      return { devices: [...items], nextPageToken: next ?? "" };
    },

    async deleteDevice({ deviceId }, { principal, requestId, changed }) {
      checkDeviceId(deviceId);
      if (!(await reportStore.deleteDevice(deviceId))) throw unknownDevice(deviceId);
      changed({ kind: "device", name: deviceId, detail: "its newest status was forgotten" });
      log.info({ deviceId, by: nameOf(principal), requestId }, "device forgotten");
      return {};
    },
  };
}

function checkDeviceId(deviceId: string): void {
  const violations = deviceIdViolations(deviceId, "device_id");
  if (violations.length > 0) throw invalidArgument(violations);
}

function unknownDevice(deviceId: string): NebulaError {
  return new NebulaError("not_found", `device '${deviceId}' never reported: the list of devices has those that did`);
}
