import { hasFilter } from "../../../../common/insight/device-filter.ts";
import { deviceOrderOf } from "../../../../common/insight/text/device-sort.ts";
import { DeviceService } from "../../../../gen/nebula/v1/device_pb.ts";
import { TargetState } from "../../../../gen/nebula/v1/report_pb.ts";
import type { Noun } from "../../command/command.ts";
import type { TextFlag } from "../../command/flags.ts";
import { LIST_OUTPUTS, OUTPUTS } from "../../command/global-flags.ts";
import { renderValue } from "../../output/render-value.ts";
import { deviceList } from "../../views/device-list.ts";
import { deviceJson, deviceText } from "../../views/device-view.ts";
import { answered } from "../entities/kind.ts";
import { LIMIT_FLAGS, NO_LIMIT, OF_GROUP, printSomePages } from "../lists/pages.ts";
import { countDevices } from "./count-devices.ts";
import { deleteDevices } from "./delete-devices.ts";
import { FILTER_FLAGS, filterOf, SORT } from "./device-filter.ts";
import { deviceTokenVerbs } from "./device-tokens.ts";
import { watchDevices } from "./watch-devices.ts";

const DEVICE: TextFlag = { kind: "text", name: "device", placeholder: "DEVICE", offers: { names: "device" }, help: "The id of the device." };
const argument = [{ label: "DEVICE", flag: DEVICE }] as const;

/** Devices with their newest status, and their tokens. */
export const devices: Noun = {
  kind: "noun",
  name: "devices",
  aliases: ["device"],
  summary: "Shows devices and their newest status; enrols devices; revokes device tokens.",
  verbs: [
    {
      kind: "command",
      name: "list",
      summary: "Lists devices: whether they are connected, their newest status, and what is wrong with them.",
      details: [
        "CONNECTED is for how long a device has been connected, or offline. STATE is the last known state of the whole device. CONTAINERS are those of apps",
        "that are up to date and well, of those that are wanted. Filters add up: a device is listed if it matches all of them. Devices are listed by device_group and",
        "id. With --sort the worst are first: those that failed, that are offline, that have been offline the longest, that reported the longest ago; :desc turns",
        "the order round.",
      ],
      flags: [OF_GROUP, ...FILTER_FLAGS, SORT, ...LIMIT_FLAGS],
      outputs: LIST_OUTPUTS,
      examples: [
        "nebulactl devices list --device-group pos --failing",
        "nebulactl devices list --offline-longer 1h",
        "nebulactl devices list --code no_space -o wide",
        "nebulactl devices list --standing failed",
        "nebulactl devices list --target web@41 --standing failed",
        "nebulactl devices list --offline --sort connection",
        "nebulactl devices list --sort reported:desc --limit 20",
      ],
      async run(context) {
        const { values, signal, io } = context;
        const filter = await filterOf(context);
        const client = await context.client(DeviceService);
        // a server of the release before knows no filter but the state
        const isFiltered = hasFilter({ ...filter, state: TargetState.UNSPECIFIED });
        const request = {
          deviceGroup: values.text(OF_GROUP) ?? "",
          state: filter.state,
          ...(isFiltered && { filter }),
          ...deviceOrderOf(values.text(SORT)),
        };
        const fetch = async (pageSize: number, pageToken: string) => {
          const { devices, nextPageToken } = await client.listDevices({ ...request, pageSize, pageToken }, { signal });
          return { items: devices, nextPageToken };
        };
        await printSomePages(fetch, NO_LIMIT, deviceList(io.clock.now()), context, values.text(OF_GROUP));
        return 0;
      },
    },
    {
      kind: "command",
      name: "info",
      summary: "Shows everything known about one device.",
      arguments: argument,
      required: [DEVICE],
      outputs: OUTPUTS,
      examples: ["nebulactl devices info pos-0117"],
      async run({ client, values, signal, io, output, paint }) {
        const answer = await (await client(DeviceService)).getDevice({ deviceId: values.text(DEVICE) ?? "" }, { signal });
        const device = answered(answer.device, "device");
        io.out(await renderValue({ text: deviceText(device, io.clock.now()), json: () => deviceJson(device) }, output, paint));
        return 0;
      },
    },
    watchDevices,
    countDevices,
    deleteDevices(DEVICE),
    ...deviceTokenVerbs,
  ],
};
