import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import type { Followed } from "../../../../common/insight/text/apply-text.ts";
import { jsonNumber } from "../../../../common/resources/resource-fields.ts";
import { ApplyVerb } from "../../../../gen/nebula/v1/apply_pb.ts";
import { DeviceGroupService } from "../../../../gen/nebula/v1/device_group_pb.ts";
import { TargetKind } from "../../../../gen/nebula/v1/device_pb.ts";
import type { Command } from "../../command/command.ts";
import { normaliseName, type SwitchFlag, type TextFlag } from "../../command/flags.ts";
import { OUTPUTS } from "../../command/global-flags.ts";
import { renderValue, type ValueView } from "../../output/render-value.ts";
import { answered } from "../entities/kind.ts";
import { WAIT_FLAGS, waitFor, waitOptions } from "../wait/wait-flags.ts";

const SCOPE: TextFlag = {
  kind: "text",
  name: "scope",
  placeholder: "all|device-group",
  offers: { words: ["all", "device-group"] },
  help: "What to prune, in the form of the original.",
};
const GROUP: TextFlag = {
  kind: "text",
  name: "device-group",
  short: "d",
  placeholder: "GROUP",
  offers: { names: "device_group" },
  help: "The devices of this device_group.",
};
const ALL: SwitchFlag = { kind: "switch", name: "all", help: "The devices of every device_group." };

/** Makes devices remove their unused images once. */
export const prune: Command = {
  kind: "command",
  name: "prune",
  summary: "Makes devices remove their unused images, once.",
  arguments: [{ label: "SCOPE", flag: SCOPE }],
  flags: [GROUP, ALL, ...WAIT_FLAGS],
  examples: ["nebulactl prune --device-group pos", "nebulactl prune --all", "nebulactl prune device-group --device-group pos"],
  outputs: OUTPUTS,
  async run(context) {
    const { client, values, signal, io, output, paint } = context;
    const waiting = await waitOptions(context);
    const scope = normaliseName(values.text(SCOPE) ?? "");
    const group = values.text(GROUP);
    if (!["", "all", "device-group"].includes(scope))
      throw new NebulaError("invalid_argument", `invalid scope "${scope}": use all, or --device-group ${scope}`);
    const all = values.on(ALL) || scope === "all";
    if (all && (group !== undefined || scope === "device-group"))
      throw new NebulaError("invalid_argument", "all and a device_group are both given; use one of them");
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
        io.out(await renderValue(prunedView(Object.fromEntries(pruned)), output, paint)); // also if a later page failed: these groups prune
      }
      if (pruned.length === 0) io.err("no device_groups\n");
      return await waitFor(
        waiting,
        pruned.map(([name, pruneId]) => followedPrune(name, pruneId)),
        context,
      );
    }
    const name = group ?? (await io.terminal?.ask("Device_group to prune: ", signal))?.trim() ?? "";
    if (name === "") throw new NebulaError("invalid_argument", "prune needs --device-group GROUP or --all");
    const { deviceGroup } = await groups.prune({ name }, { signal });
    const { pruneId } = answered(deviceGroup, "device_group");
    io.out(await renderValue(prunedView({ [name]: pruneId }), output, paint));
    return await waitFor(waiting, [followedPrune(name, pruneId)], context);
  },
};

/** At the newest revision of the group, which the prune made. */
function followedPrune(name: string, pruneId: bigint): Followed {
  return { kind: TargetKind.DEVICE_GROUP, name, verb: ApplyVerb.PRUNE, pruneId };
}

/** The groups that prune, and their new prune_id. */
export function prunedView(pruneIds: Readonly<Record<string, bigint>>): ValueView {
  const groups = Object.entries(pruneIds);
  return {
    text: () => groups.map(([name, pruneId]) => `device_group ${name} prunes, prune_id ${pruneId}\n`).join(""),
    json: () => ({ prune_ids: Object.fromEntries(groups.map(([name, pruneId]) => [name, jsonNumber(pruneId)])) }),
  };
}
