import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { jsonNumber } from "../../../common/resources/resource-fields.ts";
import { DeviceGroupService } from "../../../gen/nebula/v1/device_group_pb.ts";
import type { Command } from "../command/command.ts";
import { normaliseName, type SwitchFlag, type TextFlag } from "../command/flags.ts";
import { answered } from "../entities/entity-calls.ts";
import { renderValue, type ValueView } from "../output/render-value.ts";

const SCOPE: TextFlag = { kind: "text", name: "scope", placeholder: "all|device-group", help: "What to prune, as the original says it." };
const GROUP: TextFlag = { kind: "text", name: "device-group", short: "d", placeholder: "GROUP", help: "The devices of this device_group." };
const ALL: SwitchFlag = { kind: "switch", name: "all", help: "The devices of every device_group." };

/** Has devices remove their unused images once. */
export const prune: Command = {
  kind: "command",
  name: "prune",
  summary: "Has devices remove their unused images, once.",
  arguments: [{ label: "SCOPE", flag: SCOPE }],
  flags: [GROUP, ALL],
  examples: ["nebulactl prune --device-group pos", "nebulactl prune --all", "nebulactl prune device_group --device_group pos"],
  outputs: ["table", "json", "yaml"],
  async run({ client, values, signal, io, output, paint }) {
    const scope = normaliseName(values.text(SCOPE) ?? "");
    const group = values.text(GROUP);
    if (!["", "all", "device-group"].includes(scope)) throw new NebulaError("invalid_argument", `prune takes all, or --device-group ${scope}`);
    const all = values.on(ALL) || scope === "all";
    if (all && (group !== undefined || scope === "device-group"))
      throw new NebulaError("invalid_argument", "all and a device_group were both given: give one of them");
    const groups = await client(DeviceGroupService);
    if (all) {
      const pruned: [name: string, pruneId: bigint][] = [];
      try {
        for (let pageToken: string | undefined = ""; pageToken !== undefined; ) {
          const { pruneIds, nextPageToken } = await groups.pruneAll({ pageToken }, { signal });
          pruned.push(...Object.entries(pruneIds));
          pageToken = nextPageToken === "" ? undefined : nextPageToken;
        }
      } finally {
        io.out(await renderValue(prunedView(Object.fromEntries(pruned)), output, paint)); // also where a later page failed: these prune
      }
      if (pruned.length === 0) io.err("no device_groups\n");
      return 0;
    }
    const name = group ?? (await io.terminal?.ask("Device_group to prune: ", signal))?.trim() ?? "";
    if (name === "") throw new NebulaError("invalid_argument", "prune needs --device-group GROUP or --all");
    const { deviceGroup } = await groups.prune({ name }, { signal });
    io.out(await renderValue(prunedView({ [name]: answered(deviceGroup, "device_group").pruneId }), output, paint));
    return 0;
  },
};

/** Which groups prune, and their new prune_id. */
export function prunedView(pruneIds: Readonly<Record<string, bigint>>): ValueView {
  const groups = Object.entries(pruneIds);
  return {
    text: () => groups.map(([name, pruneId]) => `device_group ${name} prunes, prune_id ${pruneId}\n`).join(""),
    json: () => ({ prune_ids: Object.fromEntries(groups.map(([name, pruneId]) => [name, jsonNumber(pruneId)])) }),
  };
}
