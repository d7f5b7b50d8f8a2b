import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { assertNever } from "../../../../common/errors/assert-never.ts";
import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { comparePlans, parsePlanName, planName, SHOWN_DIGITS } from "../../../../common/insight/plan-name.ts";
import { KIND_WORDS, planText } from "../../../../common/insight/text/plan-text.ts";
import { jsonText } from "../../../../common/printable.ts";
import type { Resource } from "../../../../common/resources/resource.ts";
import { yamlText } from "../../../../common/resources/yaml-text.ts";
import { formatAge } from "../../../../common/text/age.ts";
import { quote, shellWord } from "../../../../common/text/wording.ts";
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

/** Changes that an error names. */
const MOST_NAMED = 3;

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
    const name = planName(planned, SHOWN_DIGITS);
    const files = values.all(FILE).map((file) => `-f ${shellWord(file)}`);
    io.out(planText(planned, io.clock.now()));
    if (planned.changesAnything) io.out(`plan ${name}: nebulactl apply ${files.join(" ")} --plan ${name}\n`);
  }
  return planned;
}

/**
 * Returns the plan of these resources if `name` names it. Throws `failed_precondition`, which says what has changed since, if it does not,
 * `invalid_argument` if it can't name one.
 */
export async function assertPlan(name: string, resources: readonly Resource[], context: CommandContext): Promise<PlanResponse> {
  const named = parsePlanName(name);
  if (named === undefined)
    throw new NebulaError("invalid_argument", `invalid --plan ${quote(name)}: it must be the id that plan printed; use --plan 7f31c2a0-mk1vq4xs`);
  const planned = await planOf(resources, context);
  const difference = comparePlans(named, planned.id, planned.read);
  switch (difference.kind) {
    case "same":
      return planned;
    case "changes":
      throw stale(name, "the files describe other changes than when it was made");
    case "revisions":
      throw stale(name, changesSince(difference.changed, context));
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

/** The changes since a plan was made, the newest ones by name. */
function changesSince(changed: readonly RevisionRead[], { io }: CommandContext): string {
  if (changed.length === 0) return "what it was made from has changed";
  const named = changed.slice(0, MOST_NAMED).map(({ kind, name, revision, changedBy, changedAt }) => {
    const age = changedAt === undefined ? 0 : io.clock.now() - timestampMs(changedAt);
    return `${KIND_WORDS[kind] ?? "entity"} ${name} was changed to revision ${revision} ${formatAge(age)} ago by ${changedBy}`;
  });
  return `${named.join("; ")}${changed.length > MOST_NAMED ? `; and ${changed.length - MOST_NAMED} more` : ""}`;
}
