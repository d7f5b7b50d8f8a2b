import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { jsonNumber } from "../../../../common/resources/resource-fields.ts";
import { counted } from "../../../../common/text/wording.ts";
import { type DeletedDevices, DeviceService } from "../../../../gen/nebula/v1/device_pb.ts";
import type { Command } from "../../command/command.ts";
import type { CommandContext } from "../../command/context.ts";
import type { SwitchFlag, TextFlag } from "../../command/flags.ts";
import { OUTPUTS } from "../../command/global-flags.ts";
import { renderValue } from "../../output/render-value.ts";
import { confirmDelete, YES } from "../entities/confirm-delete.ts";
import { OF_GROUP } from "../lists/pages.ts";
import { OFFLINE_LONGER, offlineLongerMs } from "./device-filter.ts";

const FORCE: SwitchFlag = { kind: "switch", name: "force", help: "With --offline-longer: also where a device is online meanwhile." };

/** The most device_groups that a question names. */
const SHOWN = 5;

/** `delete`: of one device, or of all that have been offline for long. @param device its flag and argument */
export function deleteDevices(device: TextFlag): Command {
  return {
    kind: "command",
    name: "delete",
    summary: "Deletes the status of a device, or of all that have been offline for long.",
    details: [
      "A device that still runs reappears with its next report; its token stays valid until it is revoked. With --offline-longer, devices of every",
      "device_group that you may read are deleted, or those of --device-group, and you need rw on each of these groups. They are counted and asked about",
      "first; without a terminal this needs --yes.",
    ],
    arguments: [{ label: "DEVICE", flag: device }],
    flags: [OFFLINE_LONGER, OF_GROUP, FORCE, YES],
    outputs: OUTPUTS,
    examples: [
      "nebulactl devices delete pos-0117",
      "nebulactl devices delete --offline-longer 90d",
      "nebulactl devices delete --offline-longer 30d --device-group pos --yes",
    ],
    async run(context) {
      const { values } = context;
      if (!values.has(OFFLINE_LONGER)) return deleteOne(device, context);
      if (values.has(device)) throw new NebulaError("invalid_argument", "DEVICE and --offline-longer are both given; use one of them");
      return deleteOffline(context);
    },
  };
}

async function deleteOne(device: TextFlag, context: CommandContext): Promise<number> {
  const { values, io, signal, output, paint } = context;
  for (const flag of [OF_GROUP, FORCE]) {
    if (values.has(flag)) throw new NebulaError("invalid_argument", `--${flag.name} needs --offline-longer; use that, or DEVICE alone`);
  }
  const deviceId = values.text(device) ?? (await io.terminal?.ask("The id of the device: ", signal))?.trim() ?? "";
  if (deviceId === "") throw new NebulaError("invalid_argument", "devices delete needs DEVICE or --device, or --offline-longer");
  await confirmDelete(`device ${deviceId}`, deviceId, context);
  await (await context.client(DeviceService)).deleteDevice({ deviceId }, { signal });
  io.out(await renderValue({ text: () => `device ${deviceId} deleted\n`, json: () => ({ device_id: deviceId }) }, output, paint));
  return 0;
}

async function deleteOffline(context: CommandContext): Promise<number> {
  const { values, io, signal, output, paint } = context;
  const client = await context.client(DeviceService);
  const request = { deviceGroup: values.text(OF_GROUP) ?? "", offlineLongerMs: offlineLongerMs(values), force: values.on(FORCE) };
  const found = await client.deleteDevices({ ...request, dryRun: true }, { signal });
  const since = `offline for longer than ${values.text(OFFLINE_LONGER)}`;
  let deleted = 0n;
  if (found.remaining > 0n) {
    await confirm(`${devicesText(found.remaining)} ${since}${groupsText(found.deviceGroups)}`, context);
    for (let left = found.remaining; left > 0n; ) {
      const answer = await client.deleteDevices(request, { signal });
      deleted += answer.deleted;
      if (answer.deleted === 0n) break; // the rest connected meanwhile
      left = answer.remaining;
    }
  }
  const text = () => (found.remaining === 0n ? `no device has been ${since}\n` : `${counted(deleted, "device")} deleted\n`);
  io.out(await renderValue({ text, json: () => ({ deleted: jsonNumber(deleted) }) }, output, paint));
  return 0;
}

/** Asks; without a terminal it rejects with NebulaError (failed_precondition) unless --yes is given. */
async function confirm(what: string, { values, io, signal }: CommandContext): Promise<void> {
  if (values.on(YES)) return;
  if (io.terminal === undefined) throw new NebulaError("failed_precondition", `${what}; use --yes to delete their status`);
  const answer = await io.terminal.ask(`${what}. Delete their status? [y/N] `, signal);
  if (!/^y(es)?$/i.test(answer.trim())) throw new NebulaError("cancelled", "no device was deleted");
}

/** `1 device has been`, `42 devices have been`. */
function devicesText(count: bigint): string {
  return count === 1n ? "1 device has been" : `${count} devices have been`;
}

/** ` (40 in pos, 2 in till)`. */
function groupsText(groups: readonly DeletedDevices[]): string {
  const shown = groups.slice(0, SHOWN).map(({ deviceGroup, devices }) => `${devices} in ${deviceGroup}`);
  return shown.length === 0 ? "" : ` (${shown.join(", ")}${groups.length > SHOWN ? ", ..." : ""})`;
}
