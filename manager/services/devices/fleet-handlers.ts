import type { DeviceService } from "../../../gen/nebula/v1/device_pb.ts";
import type { Principal } from "../../access/principal.ts";
import type { ServiceHandlers, ServiceStreams } from "../../rpc/call-context.ts";
import { type CountDevicesParts, countDevices } from "./count-devices.ts";
import { type DeleteDevicesParts, deleteDevices } from "./delete-devices.ts";
import { FleetReader, type FleetReaderParts } from "./fleet-reader.ts";
import { type DevicePage, type DevicesAsked, type ListDevicesParts, listDevices } from "./list-devices.ts";
import { watchDevices } from "./watch-devices.ts";

export type FleetHandlersParts = FleetReaderParts &
  Omit<CountDevicesParts, "fleet"> &
  Omit<DeleteDevicesParts, "fleet"> &
  Omit<ListDevicesParts, "fleet"> &
  Pick<FleetReaderParts & DeleteDevicesParts & ListDevicesParts, "reportStore">;

/** The calls of DeviceService that are about many devices: they read the views of device_groups. */
export type FleetHandlers = Readonly<{
  listDevices: (list: DevicesAsked, principal: Principal, signal: AbortSignal) => Promise<DevicePage>;
  unary: Pick<ServiceHandlers<typeof DeviceService>, "countDevices" | "deleteDevices">;
  streams: ServiceStreams<typeof DeviceService>;
}>;

export function createFleetHandlers(all: FleetHandlersParts): FleetHandlers {
  const parts = { ...all, fleet: new FleetReader(all) };
  return {
    listDevices: (list, principal, signal) => listDevices(parts, list, principal, signal),
    unary: {
      countDevices: (request, { principal, signal }) => countDevices(parts, request, principal, signal),
      deleteDevices: (request, context) => deleteDevices(parts, request, context),
    },
    streams: { watchDevices: (request, context) => watchDevices(parts, request, context) },
  };
}
