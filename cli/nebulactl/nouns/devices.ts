import { DeviceService } from "../../../gen/nebula/v1/device_pb.ts";
import type { Noun } from "../command/command.ts";
import type { NumberFlag, TextFlag } from "../command/flags.ts";
import { answered } from "../entities/entity-calls.ts";
import { allPages } from "../entities/pages.ts";
import { printList } from "../output/print-list.ts";
import { renderValue } from "../output/render-value.ts";
import { deviceJson, deviceList, deviceText } from "../status/device-view.ts";
import { parseTargetState, STATE } from "../status/target-state.ts";
import { confirmDelete, YES } from "./confirm.ts";
import { deviceTokenVerbs } from "./device-tokens.ts";
import { ofExistingGroup } from "./in-use.ts";

const DEVICE: TextFlag = { kind: "text", name: "device", placeholder: "DEVICE", help: "The device's id." };
const GROUP: TextFlag = { kind: "text", name: "device-group", short: "d", placeholder: "GROUP", help: "Only of this device_group." };
const LIMIT: NumberFlag = { kind: "number", name: "limit", placeholder: "N", min: 1, integer: true, help: "At most this many. Default: all." };
const argument = [{ label: "DEVICE", flag: DEVICE }] as const;

/** Devices, with the newest status of each, and their tokens. */
export const devices: Noun = {
  kind: "noun",
  name: "devices",
  aliases: ["device"],
  summary: "Shows devices and the newest status of each; lets devices in, and ends their tokens.",
  verbs: [
    {
      kind: "command",
      name: "list",
      summary: "Lists devices with their newest status.",
      flags: [GROUP, STATE, LIMIT],
      outputs: ["table", "json", "yaml"],
      examples: ["nebulactl devices list --device-group pos --state failed"],
      async run(context) {
        const { values, signal, io } = context;
        const client = await context.client(DeviceService);
        const filter = { deviceGroup: values.text(GROUP) ?? "", state: parseTargetState(values.text(STATE)) };
        const fetch = async (pageSize: number, pageToken: string) => {
          const { devices, nextPageToken } = await client.listDevices({ ...filter, pageSize, pageToken }, { signal });
          return { items: devices, nextPageToken };
        };
        const items = ofExistingGroup(allPages(fetch, { limit: values.number(LIMIT) }), values.text(GROUP), context);
        await printList(items, deviceList(io.clock.now()), context);
        return 0;
      },
    },
    {
      kind: "command",
      name: "info",
      summary: "Shows all that is known of one device.",
      arguments: argument,
      required: [DEVICE],
      outputs: ["table", "json", "yaml"],
      async run({ client, values, signal, io, output, paint }) {
        const answer = await (await client(DeviceService)).getDevice({ deviceId: values.text(DEVICE) ?? "" }, { signal });
        const device = answered(answer.device, "device");
        io.out(await renderValue({ text: deviceText(device, io.clock.now()), json: () => deviceJson(device) }, output, paint));
        return 0;
      },
    },
    {
      kind: "command",
      name: "delete",
      summary: "Forgets a device. One that is still there comes back with its next report; its token stays valid until it is revoked.",
      arguments: argument,
      required: [DEVICE],
      flags: [YES],
      async run(context) {
        const deviceId = context.values.text(DEVICE) ?? "";
        await confirmDelete(`device ${deviceId}`, deviceId, context);
        await (await context.client(DeviceService)).deleteDevice({ deviceId }, { signal: context.signal });
        context.io.out(`device ${deviceId} deleted\n`);
        return 0;
      },
    },
    ...deviceTokenVerbs,
  ],
};
