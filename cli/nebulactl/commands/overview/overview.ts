import { create } from "@bufbuild/protobuf";
import { type FleetOverview, FleetOverviewSchema, FleetService } from "../../../../gen/nebula/v1/fleet_pb.ts";
import type { Command } from "../../command/command.ts";
import { LIST_OUTPUTS, OUTPUTS } from "../../command/global-flags.ts";
import { printList } from "../../output/print-list.ts";
import { renderValue } from "../../output/render-value.ts";
import { fleetLines, groupList, overviewJson, reachedList } from "../../views/overview-view.ts";
import { allPages, OF_GROUP } from "../lists/pages.ts";

/** A whole fleet in numbers. */
export const overview: Command = {
  kind: "command",
  name: "overview",
  summary: "Shows a whole fleet in numbers: devices by where they stand with their newest config.",
  details: [
    "Of all device_groups that this login may read: devices that run their newest config (applied), work on it, did not answer it yet (waiting), failed, or",
    "are offline; failures by code, workers by version; and of each device_group the same, and its newest change.",
  ],
  flags: [OF_GROUP],
  outputs: OUTPUTS,
  examples: ["nebulactl overview", "nebulactl overview --device-group pos -o json"],
  async run(context) {
    const { values, signal, io, output, paint } = context;
    const client = await context.client(FleetService);
    const group = values.text(OF_GROUP);
    const deviceGroups = group === undefined ? [] : [group];
    let fleet: FleetOverview = create(FleetOverviewSchema);
    const fetch = async (pageSize: number, pageToken: string) => {
      const { fleet: newest, groups: items, nextPageToken } = await client.getOverview({ deviceGroups, pageSize, pageToken }, { signal });
      fleet = newest ?? fleet; // the newest page has the newest numbers
      return { items, nextPageToken };
    };
    const groups = await Array.fromAsync(allPages(fetch));
    if (output === "json" || output === "yaml") {
      io.out(await renderValue({ text: () => "", json: () => overviewJson(fleet, groups) }, output, paint));
      return 0;
    }
    for (const line of fleetLines(fleet)) io.out(`${line}\n`);
    if (groups.length > 0) {
      io.out("\n");
      await printList(groups, groupList(io.clock.now()), context);
    }
    return 0;
  },
};

/** Shows the changes of the last hour, and how far each is. */
export const changes: Command = {
  kind: "command",
  name: "changes",
  summary: "Shows what was changed in the last hour, and how many devices each change has reached.",
  details: [
    "PENDING are devices that are offline, work on it, or did not answer it yet; of a device_group, all devices count by its newest config. A change that was",
    "superseded by a newer revision has no numbers. nebulactl history shows older changes.",
  ],
  flags: [],
  outputs: LIST_OUTPUTS,
  examples: ["nebulactl changes", "nebulactl changes -o json"],
  async run(context) {
    const { signal, io } = context;
    const client = await context.client(FleetService);
    const { recentChanges } = await client.getOverview({ pageSize: 1 }, { signal });
    await printList(recentChanges?.changes ?? [], reachedList(io.clock.now()), context);
    if (recentChanges?.more) io.err("these are the newest; nebulactl history --since 1h shows all\n");
    return 0;
  },
};
