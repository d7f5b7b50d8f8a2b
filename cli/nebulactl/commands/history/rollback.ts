import type { JsonObject } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import type { Followed } from "../../../../common/insight/text/apply-text.ts";
import { planText } from "../../../../common/insight/text/plan-text.ts";
import { plannedRollback, rollbackText } from "../../../../common/insight/text/rollback-text.ts";
import { jsonText } from "../../../../common/printable.ts";
import { differencesJson } from "../../../../common/resources/field-changes.ts";
import { jsonNumber } from "../../../../common/resources/resource-fields.ts";
import { targetKindOf } from "../../../../common/resources/target-kind.ts";
import { yamlText } from "../../../../common/resources/yaml-text.ts";
import type { EntityKey } from "../../../../common/storage/config-store.ts";
import { HistoryService, type RollbackResponse } from "../../../../gen/nebula/v1/history_pb.ts";
import { type PlanResponse, PlanService } from "../../../../gen/nebula/v1/plan_pb.ts";
import type { Command } from "../../command/command.ts";
import type { CommandContext } from "../../command/context.ts";
import type { NumberFlag, SwitchFlag } from "../../command/flags.ts";
import { unlessRefused } from "../../errors/unless-refused.ts";
import { printWarnings } from "../../output/warnings.ts";
import { entityJson } from "../../views/entity-view.ts";
import { planJson } from "../../views/plan-view.ts";
import { resourceOfBody } from "../../views/revision-view.ts";
import { followedWrite } from "../wait/followed.ts";
import { WAIT_FLAGS, waitFor, waitOptions } from "../wait/wait-flags.ts";
import { entityNamed, NAME } from "./entity-named.ts";

const TO: NumberFlag = {
  kind: "number",
  name: "to",
  placeholder: "REVISION",
  min: 1,
  max: Number.MAX_SAFE_INTEGER,
  integer: true,
  help: "The revision whose fields come back. Default: the one before the present one.",
};
const SECRETS: SwitchFlag = { kind: "switch", name: "secrets", help: "Brings secret values back, too. Default: they stay as they are today." };
const DRY_RUN: SwitchFlag = { kind: "switch", name: "dry-run", help: "Shows what would change, and changes nothing." };
const YES: SwitchFlag = { kind: "switch", name: "yes", help: "Skips the confirmation. Without a terminal it is needed." };

/** Brings an older revision back. */
export const rollback: Command = {
  kind: "command",
  name: "rollback",
  summary: "Brings the fields of an older revision back, as a new revision.",
  details: [
    "Shows what would change, and on which devices, and asks. Without --to, the fields of the revision before the present one come back, so a second",
    "rollback undoes the first. A deleted app, cron_job or device_group comes back as it was before the delete. Secret values stay as they are today, except",
    "those of variables that only the older revision has. nebulactl history NAME shows the revisions.",
  ],
  arguments: [{ label: "NAME", flag: NAME }],
  required: [NAME],
  flags: [TO, SECRETS, DRY_RUN, YES, ...WAIT_FLAGS],
  outputs: ["table", "json", "yaml"],
  examples: ["nebulactl rollback web", "nebulactl rollback web --to 41 --yes", "nebulactl rollback cron_job/backup --secrets"],
  async run(context) {
    const { values, io, signal, output } = context;
    const waiting = await waitOptions(context);
    const entity = await entityNamed(values.text(NAME) ?? "", context);
    const to = values.number(TO);
    const client = await context.client(HistoryService);
    const request = { kind: targetKindOf(entity.kind), name: entity.name, secrets: values.on(SECRETS) };
    const planned = await client.rollback({ ...request, dryRun: true, ...(to === undefined ? {} : { to: BigInt(to) }) }, { signal });
    const print = (text: string, json: JsonObject, warnings: readonly string[]) => {
      if (output === "json") io.out(`${jsonText(json)}\n`);
      else io.out(output === "yaml" ? yamlText(json) : text);
      printWarnings(warnings, context);
    };
    const unchanged = planned.revision === planned.revisionBefore;
    const reach = unchanged || (values.on(YES) && !values.on(DRY_RUN)) ? undefined : await planOfRollback(planned, context);
    const shown = [rollbackText(entity, planned, false), ...reachLines(reach, context)].join("");
    if (values.on(DRY_RUN) || unchanged) {
      const json = { ...rollbackJson(entity, planned, false), ...(reach === undefined ? {} : { plan: planJson(reach) }) };
      print(shown, json, planned.warnings);
      return values.on(DRY_RUN) ? 0 : await waitFor(waiting, followedRollback(planned), context);
    }
    if (!values.on(YES)) await confirm(`${entity.kind} ${entity.name}`, planned.to, shown, context);
    // the revision that was shown, and no other
    const done = await client.rollback({ ...request, to: planned.to, ifRevision: planned.revisionBefore }, { signal });
    print(rollbackText(entity, done, true), rollbackJson(entity, done, true), done.warnings);
    return await waitFor(waiting, followedRollback(done), context);
  },
};

/** The changes that devices follow after a rollback. The members that a device_group gained and lost are among its differences. */
function followedRollback({ body, differences, revisionBefore, restored }: RollbackResponse): Followed[] {
  const after = resourceOfBody(body);
  if (after === undefined) return [];
  if (restored || after.kind !== "device_group") return followedWrite(undefined, after).map((followed) => ({ ...followed, before: revisionBefore }));
  const { apps, cronJobs } = after.deviceGroup;
  const membersBefore = (field: string, now: readonly string[]): string[] => {
    const difference = differences.find((each) => each.field === field);
    if (difference === undefined) return [...now];
    const names: unknown = JSON.parse(difference.beforeJson ?? "[]");
    return Array.isArray(names) ? names.map(String) : [];
  };
  const before = {
    ...after.deviceGroup,
    revision: revisionBefore,
    apps: membersBefore("apps", apps),
    cronJobs: membersBefore("cron_jobs", cronJobs),
  };
  return followedWrite({ kind: "device_group", deviceGroup: before }, after);
}

/** Shows the plan and asks. Throws unless the answer is yes. */
async function confirm(what: string, to: bigint, shown: string, { io, signal }: CommandContext): Promise<void> {
  io.err(shown);
  if (io.terminal === undefined) {
    throw new NebulaError("failed_precondition", `${what} was not rolled back: nobody can be asked without a terminal; use --yes`);
  }
  const answer = await io.terminal.ask(`Roll back ${what} to revision ${to}? [y/N] `, signal);
  if (!/^y(es)?$/i.test(answer.trim())) throw new NebulaError("cancelled", `${what} was not rolled back`);
}

/** Plans what devices do after a rollback that a dry run described. Undefined if this login may not see that, or the server is too old to plan. */
async function planOfRollback(planned: RollbackResponse, { client, signal }: CommandContext): Promise<PlanResponse | undefined> {
  const change = plannedRollback(planned);
  if (change === undefined) return undefined;
  const answer = (await client(PlanService)).plan({ changes: [change] }, { signal });
  return unlessRefused(answer, Code.PermissionDenied, Code.Unimplemented);
}

/** The effects of the rollback on devices; nothing if they are not known. */
function reachLines(plan: PlanResponse | undefined, { io }: CommandContext): string[] {
  return plan === undefined ? [] : [planText({ ...plan, entities: [] }, io.clock.now())];
}

function rollbackJson({ kind, name }: EntityKey, answer: RollbackResponse, done: boolean): JsonObject {
  const { revisionBefore, revision, to, restored, differences, keptSecrets } = answer;
  const resource = resourceOfBody(answer.body);
  const verb = restored ? "restored" : "rolled back";
  return {
    kind,
    name,
    result: revision === revisionBefore ? "unchanged" : done ? verb : `would be ${verb}`,
    revision_before: jsonNumber(revisionBefore),
    revision: jsonNumber(revision),
    to: jsonNumber(to),
    changes: differencesJson(differences),
    kept_secrets: [...keptSecrets],
    ...(resource === undefined ? {} : { body: entityJson(resource) }),
  };
}
