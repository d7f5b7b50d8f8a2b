import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { assertNever } from "../../../../common/errors/assert-never.ts";
import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { comparePlans, isPlanName } from "../../../../common/insight/plan-id.ts";
import { KIND_WORDS, planText } from "../../../../common/insight/text/plan-text.ts";
import { jsonText } from "../../../../common/printable.ts";
import type { Resource } from "../../../../common/resources/resource.ts";
import { yamlText } from "../../../../common/resources/yaml-text.ts";
import { formatAge } from "../../../../common/text/age.ts";
import { quote } from "../../../../common/text/wording.ts";
import { type PlannedChange, PlannedChangeSchema, type PlanResponse, PlanService, type RevisionRead } from "../../../../gen/nebula/v1/plan_pb.ts";
import type { Command } from "../../command/command.ts";
import type { CommandContext } from "../../command/context.ts";
import type { SwitchFlag } from "../../command/flags.ts";
import { planJson } from "../../views/plan-view.ts";
import { FILE, readResources } from "../resource-files/resource-flag.ts";

const EXIT_CODE: SwitchFlag = {
  kind: "switch",
  name: "exit-code",
  help: "Exit with 0 if there is nothing to do, 2 if there is something, 1 for anything else.",
};

/** Digits of a plan's id that are shown. */
const SHOWN_DIGITS = 8;

/** Shows what an apply of resource files leads to. */
export const plan: Command = {
  kind: "command",
  name: "plan",
  summary: "Shows what an apply of resource files changes, and on which devices.",
  details: [
    "Nothing is changed. The plan has the fields that differ, the device_groups and devices that are reached, the steps of these devices (containers that are",
    "made again, started, stopped and removed, and images that are pulled), and what looks unintended. Its last line applies exactly this plan, as long as",
    "nothing that it was made from has changed. At most 20 devices are named, and device_groups that you may not read are only counted.",
  ],
  arguments: [],
  required: [FILE],
  flags: [FILE, EXIT_CODE],
  outputs: ["table", "json", "yaml"],
  examples: ["nebulactl plan -f shop.yaml", "nebulactl plan -f shop --exit-code", "nebulactl get all -o yaml | nebulactl plan --profile other -f -"],
  async run(context) {
    const planned = await showPlan(await readResources(context), context);
    return context.values.on(EXIT_CODE) && planned.changesAnything ? 2 : 0;
  },
};

/** Prints the plan of an apply of these resources, and returns it. */
export async function showPlan(resources: readonly Resource[], context: CommandContext): Promise<PlanResponse> {
  const { io, output, values } = context;
  const planned = await planOf(resources, context);
  if (output === "json") io.out(`${jsonText(planJson(planned))}\n`);
  else if (output === "yaml") io.out(yamlText(planJson(planned)));
  else {
    const id = planned.id.slice(0, SHOWN_DIGITS);
    const files = values.all(FILE).map((file) => `-f ${/^[\w./@%+=:,-]+$/.test(file) ? file : `'${file.replaceAll("'", "'\\''")}'`}`);
    io.out(planText(planned, io.clock.now()));
    if (planned.changesAnything) io.out(`plan ${id}: nebulactl apply ${files.join(" ")} --plan ${id}\n`);
  }
  return planned;
}

/**
 * Returns the plan of these resources if `name` names it. Throws `failed_precondition`, which says what has changed since, if it does not,
 * `invalid_argument` if it can't name one.
 */
export async function assertPlan(name: string, resources: readonly Resource[], context: CommandContext): Promise<PlanResponse> {
  if (!isPlanName(name))
    throw new NebulaError("invalid_argument", `invalid --plan ${quote(name)}: it must be the id that plan printed; use --plan 7f31c2a0`);
  const planned = await planOf(resources, context);
  const difference = comparePlans(name, planned.id, planned.read);
  switch (difference.kind) {
    case "same":
      return planned;
    case "changes":
      throw stale(name, "the files describe other changes than when it was made");
    case "entity": {
      const now = planned.read.find((read) => read.kind === difference.entity.kind && read.name === difference.entity.name);
      const title = `${KIND_WORDS[difference.entity.kind] ?? "entity"} ${difference.entity.name}`;
      const was = difference.revision === 0n ? "did not exist" : `was at revision ${difference.revision}`;
      throw stale(
        name,
        `${title} ${was} when it was made, and is at ${difference.entity.revision} now${now === undefined ? "" : byWhom(now, context)}`,
      );
    }
    case "revisions":
      throw stale(name, `more than one of what it was made from has changed; the last changes are ${lastChanges(planned.read, context)}`);
    default:
      return assertNever(difference);
  }
}

async function planOf(resources: readonly Resource[], { client, signal }: CommandContext): Promise<PlanResponse> {
  return (await client(PlanService)).plan({ changes: resources.map(changeOf) }, { signal });
}

function changeOf(resource: Resource): PlannedChange {
  switch (resource.kind) {
    case "app":
      return create(PlannedChangeSchema, { change: { case: "app", value: resource.app } });
    case "cron_job":
      return create(PlannedChangeSchema, { change: { case: "cronJob", value: resource.cronJob } });
    case "device_group":
      return create(PlannedChangeSchema, { change: { case: "deviceGroup", value: resource.deviceGroup } });
    case "user_group":
      return create(PlannedChangeSchema, { change: { case: "userGroup", value: resource.userGroup } });
    default:
      return assertNever(resource);
  }
}

function stale(name: string, why: string): NebulaError {
  return new NebulaError("failed_precondition", `plan ${name} does not hold any more: ${why}; nothing was written. Run nebulactl plan again`);
}

/** The entities that changed last, at most three. */
function lastChanges(read: readonly RevisionRead[], context: CommandContext): string {
  const at = ({ changedAt }: RevisionRead) => (changedAt === undefined ? 0 : timestampMs(changedAt));
  return read
    .toSorted((a, b) => at(b) - at(a))
    .slice(0, 3)
    .map((each) => `${KIND_WORDS[each.kind] ?? "entity"} ${each.name} at revision ${each.revision}${byWhom(each, context)}`)
    .join("; ");
}

function byWhom({ changedBy, changedAt }: RevisionRead, { io }: CommandContext): string {
  if (changedAt === undefined) return "";
  return `, changed ${formatAge(io.clock.now() - timestampMs(changedAt))} ago by ${changedBy}`;
}
