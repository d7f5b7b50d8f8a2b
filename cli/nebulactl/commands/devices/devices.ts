import { DeviceService } from "../../../../gen/nebula/v1/device_pb.ts";
import type { Noun } from "../../command/command.ts";
import type { TextFlag } from "../../command/flags.ts";
import { LIST_OUTPUTS, OUTPUTS } from "../../command/global-flags.ts";
import { printList } from "../../output/print-list.ts";
import { renderValue } from "../../output/render-value.ts";
import { deviceJson, deviceList, deviceText } from "../../views/device-view.ts";
import { parseTargetState, STATE } from "../../views/target-state.ts";
import { confirmDelete, YES } from "../entities/confirm-delete.ts";
import { answered } from "../entities/kind.ts";
import { allPages, LIMIT, OF_GROUP, ofExistingGroup } from "../lists/pages.ts";
import { deviceTokenVerbs } from "./device-tokens.ts";

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
      summary: "Lists devices with their newest status.",
      flags: [OF_GROUP, STATE, LIMIT],
      outputs: LIST_OUTPUTS,
      examples: ["nebulactl devices list --device-group pos --state failed"],
      async run(context) {
        const { values, signal, io } = context;
        const client = await context.client(DeviceService);
        const filter = { deviceGroup: values.text(OF_GROUP) ?? "", state: parseTargetState(values.text(STATE)) };
        const fetch = async (pageSize: number, pageToken: string) => {
          const { devices, nextPageToken } = await client.listDevices({ ...filter, pageSize, pageToken }, { signal });
          return { items: devices, nextPageToken };
        };
        const items = ofExistingGroup(allPages(fetch, { limit: values.number(LIMIT) }), values.text(OF_GROUP), context);
        await printList(items, deviceList(io.clock.now()), context);
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
    {
      kind: "command",
      name: "delete",
      summary: "Deletes the status of a device. A device that still runs reappears with its next report; its token stays valid until it is revoked.",
      arguments: argument,
      required: [DEVICE],
      flags: [YES],
      examples: ["nebulactl devices delete pos-0117"],
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
