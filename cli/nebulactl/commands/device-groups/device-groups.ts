import { type DeviceGroup, DeviceGroupService } from "../../../../gen/nebula/v1/device_group_pb.ts";
import type { Noun } from "../../command/command.ts";
import type { TextFlag } from "../../command/flags.ts";
import { OUTPUTS } from "../../command/global-flags.ts";
import { renderValue } from "../../output/render-value.ts";
import { deviceGroupKind } from "../entities/device-group-kind.ts";
import { answered } from "../entities/kind.ts";
import { entityNoun } from "../entities/noun.ts";
import { prunedView } from "../prune/prune.ts";

const DEVICE_GROUP: TextFlag = {
  kind: "text",
  name: "device-group",
  short: "d",
  placeholder: "DEVICE_GROUP",
  offers: { names: "device_group" },
  help: "The name of the device_group.",
};

/** Device_groups: the apps and cron_jobs of a set of devices. */
export const deviceGroups: Noun = entityNoun<DeviceGroup>({
  kind: deviceGroupKind,
  name: "device-groups",
  aliases: ["device-group"],
  summary: "Manages device_groups: the apps and cron_jobs of a set of devices.",
  exampleName: "pos",
  nameFlag: DEVICE_GROUP,
  header: ["DEVICE_GROUP", "REVISION", "APPS", "CRON_JOBS", "PRUNE_ID"],
  row: ({ name, revision, apps, cronJobs, pruneId }) => [name, String(revision), apps.join(","), cronJobs.join(","), String(pruneId)],
  async changes() {
    const [fields, { devicesOfGroup }] = await Promise.all([import("../../fields/group-fields.ts"), import("../entities/in-use.ts")]);
    return {
      requiredAtCreate: [],
      redeploys: true,
      fieldsOfCreate: fields.deviceGroupFields,
      fieldsOfUpdate: fields.deviceGroupFields,
      findUse: devicesOfGroup,
      examples: {
        create: ["nebulactl device-groups create pos --apps web,api --cron-jobs backup"],
        update: ["nebulactl device-groups update --device-group pos --apps web,api,till"],
      },
    };
  },
  moreVerbs: [
    {
      kind: "command",
      name: "prune",
      summary: "Makes the devices of a device_group remove their unused images, once.",
      arguments: [{ label: "DEVICE_GROUP", flag: DEVICE_GROUP }],
      required: [DEVICE_GROUP],
      outputs: OUTPUTS,
      examples: ["nebulactl device-groups prune pos"],
      async run({ client, values, signal, io, output, paint }) {
        const { deviceGroup } = await (await client(DeviceGroupService)).prune({ name: values.text(DEVICE_GROUP) ?? "" }, { signal });
        const { name, pruneId } = answered(deviceGroup, "device_group");
        io.out(await renderValue(prunedView({ [name]: pruneId }), output, paint));
        return 0;
      },
    },
  ],
});
