import type { DeviceService } from "../../../gen/nebula/v1/device_pb.ts";
import type { Principal } from "../../access/principal.ts";
import type { ServiceHandlers, ServiceStreams } from "../../rpc/call-context.ts";
import { type CountDevicesParts, countDevices } from "./count-devices.ts";
import { type DeleteDevicesParts, deleteDevices } from "./delete-devices.ts";
import { FleetReader, type FleetReaderParts } from "./fleet-reader.ts";
import { type FilteredList, type FilteredPage, type ListFilteredParts, listFiltered } from "./list-filtered.ts";
import { watchDevices } from "./watch-devices.ts";

export type FleetHandlersParts = FleetReaderParts &
  Omit<CountDevicesParts, "fleet"> &
  Omit<DeleteDevicesParts, "fleet"> &
  Omit<ListFilteredParts, "fleet"> &
  Pick<FleetReaderParts & DeleteDevicesParts & ListFilteredParts, "reportStore">;

/** The calls of DeviceService that are about many devices: they read the views of device_groups. */
export type FleetHandlers = Readonly<{
  listFiltered: (list: FilteredList, principal: Principal, signal: AbortSignal) => Promise<FilteredPage>;
  unary: Pick<ServiceHandlers<typeof DeviceService>, "countDevices" | "deleteDevices">;
  streams: ServiceStreams<typeof DeviceService>;
}>;

export function createFleetHandlers(all: FleetHandlersParts): FleetHandlers {
  const parts = { ...all, fleet: new FleetReader(all) };
  return {
    listFiltered: (list, principal, signal) => listFiltered(parts, list, principal, signal),
    unary: {
      countDevices: (request, { principal, signal }) => countDevices(parts, request, principal, signal),
      deleteDevices: (request, context) => deleteDevices(parts, request, context),
    },
    streams: { watchDevices: (request, context) => watchDevices(parts, request, context) },
  };
}
