import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { jsonText } from "../../../../common/printable.ts";
import { DriftService, type GroupDrift, GroupDriftSchema } from "../../../../gen/nebula/v1/drift_pb.ts";
import type { Command } from "../../command/command.ts";
import type { CommandContext } from "../../command/context.ts";
import type { SwitchFlag } from "../../command/flags.ts";
import { reopened } from "../../connection/reopened-stream.ts";
import { printList } from "../../output/print-list.ts";
import { protoJson } from "../../output/proto-json.ts";
import { driftText } from "../../views/drift-view.ts";
import { deviceGroupKind } from "../entities/device-group-kind.ts";
import { allPages, OF_GROUP } from "../lists/pages.ts";

const WATCH: SwitchFlag = { kind: "switch", name: "watch", help: "Prints each device_group again when its drift changes, until Ctrl-C." };

/** Groups of one page, and of one watch at most, as the API has it. */
const PAGE = 20;
const MOST_WATCHED = 100;

/** Shows what devices run beside what they should. */
export const drift: Command = {
  kind: "command",
  name: "drift",
  summary: "Shows devices that run something else than their newest config.",
  details: [
    "By device_group: devices that are not at their newest config, by code and since when; image references that stand for different images; and repairs of",
    "containers that workers made though their config had not changed. Of one device, nebulactl why says more.",
  ],
  flags: [OF_GROUP, WATCH],
  outputs: ["table", "json", "yaml"],
  examples: ["nebulactl drift", "nebulactl drift --device-group pos --watch"],
  async run(context) {
    if (context.values.on(WATCH)) await watch(context);
    else await show(context);
    return 0;
  },
};

async function show(context: CommandContext): Promise<void> {
  const { values, signal, io, output, paint } = context;
  const client = await context.client(DriftService);
  const deviceGroup = values.text(OF_GROUP) ?? "";
  const drifts = allPages(async (size, pageToken) => {
    const { groups, nextPageToken } = await client.getDrift({ deviceGroup, pageSize: Math.min(size, PAGE), pageToken }, { signal });
    return { items: groups, nextPageToken };
  });
  if (output === "json" || output === "yaml")
    return printList(drifts, { plural: "device_groups", header: [], row: () => [], json: driftJson }, context);
  let count = 0;
  for await (const each of drifts) {
    io.out(driftText(each, io.clock.now(), paint, io.columns));
    count++;
  }
  if (count === 0) io.err("no device_groups\n");
}

async function watch(context: CommandContext): Promise<void> {
  const { values, signal, io, output, paint } = context;
  if (output === "yaml") throw new NebulaError("invalid_argument", "drift --watch prints no YAML; use -o json, an object for each change");
  const group = values.text(OF_GROUP);
  const deviceGroups = group === undefined ? await allGroups(context) : [group];
  const client = await context.client(DriftService);
  const known = new Map<string, string>();
  const messages = reopened({
    open: (until) => client.watchDrift({ deviceGroups }, { signal: until, timeoutMs: 0 }),
    onBreak: (error) => error !== undefined && io.err("the connection broke; trying again\n"),
    clock: io.clock,
    signal,
  });
  for await (const { message } of messages) {
    for (const each of message.groups) {
      const json = jsonText(driftJson(each));
      if (known.get(each.deviceGroup) === json) continue; // a stream that was opened again tells all of them first
      known.set(each.deviceGroup, json);
      io.out(output === "json" ? `${json}\n` : driftText(each, io.clock.now(), paint, io.columns));
    }
  }
}

function driftJson(drift: GroupDrift) {
  return protoJson(GroupDriftSchema, drift);
}

/** The device_groups that this login may read. Rejects with NebulaError (invalid_argument) if there are none, or too many for one watch. */
async function allGroups(context: CommandContext): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of allPages((size, token) => deviceGroupKind.calls.page(context, size, token), { limit: MOST_WATCHED + 1 }))
    names.push(name);
  if (names.length > 0 && names.length <= MOST_WATCHED) return names;
  const why = names.length === 0 ? "there is no device_group to watch" : `there are more than ${MOST_WATCHED} device_groups`;
  throw new NebulaError("invalid_argument", `${why}; use --device-group GROUP`);
}
