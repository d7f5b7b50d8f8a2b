import { formatAge } from "../../../../common/text/age.ts";
import { enumWord } from "../../../../common/text/enum-words.ts";
import { type DeviceCounts, DeviceCountsSchema, DeviceService } from "../../../../gen/nebula/v1/device_pb.ts";
import { FailureCodeSchema } from "../../../../gen/nebula/v1/report_pb.ts";
import type { Command } from "../../command/command.ts";
import type { SwitchFlag } from "../../command/flags.ts";
import { LIST_OUTPUTS } from "../../command/global-flags.ts";
import type { ListView } from "../../output/print-list.ts";
import { protoJson } from "../../output/proto-json.ts";
import { LIMIT_FLAGS, NO_LIMIT, OF_GROUP, printSomePages } from "../lists/pages.ts";

const ENROLLED: SwitchFlag = { kind: "switch", name: "enrolled", help: "Also counts devices that were enrolled and never came." };

/** The largest page of the counts: device_groups. */
const PAGE = 100;
/** The most codes in a cell. */
const SHOWN = 3;

/** Counts devices by device_group and state. */
export const countDevices: Command = {
  kind: "command",
  name: "count",
  summary: "Counts the devices of each device_group: by state, online and offline, and by failure code.",
  details: [
    "OUTDATED are devices that do not run the newest config of their device_group, and NEWEST is the age of the newest report of all.",
    "JSON and YAML also have the counts by problem and by the worker's version.",
  ],
  flags: [OF_GROUP, ENROLLED, ...LIMIT_FLAGS],
  outputs: LIST_OUTPUTS,
  examples: ["nebulactl devices count", "nebulactl devices count --device-group pos --enrolled -o json"],
  async run(context) {
    const { values, signal, io } = context;
    const client = await context.client(DeviceService);
    const request = { deviceGroup: values.text(OF_GROUP) ?? "", enrolled: values.on(ENROLLED) };
    const fetch = async (pageSize: number, pageToken: string) => {
      const { deviceGroups, nextPageToken } = await client.countDevices({ ...request, pageSize: Math.min(pageSize, PAGE), pageToken }, { signal });
      return { items: deviceGroups, nextPageToken };
    };
    await printSomePages(fetch, NO_LIMIT, countList(io.clock.now(), request.enrolled), context);
    return 0;
  },
};

/** The counts of device_groups, a line each. @param now wall clock, milliseconds since 1970 */
function countList(now: number, enrolled: boolean): ListView<DeviceCounts> {
  return {
    plural: "device_groups with devices",
    header: [
      ...["DEVICE_GROUP", "DEVICES", "ONLINE", "OFFLINE", "APPLIED", "WORKING", "FAILED", "UNKNOWN", "OUTDATED"],
      ...(enrolled ? ["NEVER CAME"] : []),
      ...["NEWEST", "CODES"],
    ],
    row: (counts) => [
      counts.deviceGroup,
      String(counts.devices),
      String(counts.online),
      counts.offline === 0n ? "0" : { text: String(counts.offline), color: "yellow" },
      String(counts.applied),
      String(counts.working),
      counts.failed === 0n ? "0" : { text: String(counts.failed), color: "red" },
      String(counts.unknown),
      String(counts.notNewest),
      ...(enrolled ? [String(counts.neverCame ?? 0n)] : []),
      counts.newestReceivedAtMs === 0n ? "" : formatAge(now - Number(counts.newestReceivedAtMs)),
      codesText(counts),
    ],
    json: (counts) => protoJson(DeviceCountsSchema, counts),
  };
}

/** `3 no_space, 1 port_taken`. */
function codesText({ failureCodes }: DeviceCounts): string {
  const shown = failureCodes.slice(0, SHOWN).map(({ failureCode, devices }) => `${devices} ${enumWord(FailureCodeSchema, failureCode) || "other"}`);
  return `${shown.join(", ")}${failureCodes.length > SHOWN ? `, +${failureCodes.length - SHOWN}` : ""}`;
}
