import { connectedCell, lastStateCell, problemsOfDevice, wellCell } from "../../../common/insight/text/device-text.ts";
import { problemsCell } from "../../../common/insight/text/report-text.ts";
import type { Device } from "../../../gen/nebula/v1/device_pb.ts";
import type { ListView } from "../output/print-list.ts";
import { deviceJson } from "./device-view.ts";

/** A list of devices with their connection and newest status, a line each. @param now wall clock, milliseconds since 1970 */
export function deviceList(now: number): ListView<Device> {
  return {
    plural: "devices",
    header: ["DEVICE", "GROUP", "CONNECTED", "STATE", "CONTAINERS", "WORKER", "PROBLEM"],
    row(device) {
      const { deviceId, deviceGroup, report, summary } = device;
      return [
        deviceId,
        deviceGroup,
        connectedCell(device, now),
        lastStateCell(device),
        wellCell(device),
        summary?.workerVersion || (report?.workerVersion ?? ""),
        problemsCell(problemsOfDevice(device)),
      ];
    },
    json: deviceJson,
  };
}
