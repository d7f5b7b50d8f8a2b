import type { JsonObject } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { invalidArgument, NebulaError } from "../../../../common/errors/nebula-error.ts";
import type { Followed } from "../../../../common/insight/text/apply-text.ts";
import { mapLimited } from "../../../../common/map-limited.ts";
import { jsonText } from "../../../../common/printable.ts";
import { fieldChanges } from "../../../../common/resources/field-changes.ts";
import { entityOf, type Resource } from "../../../../common/resources/resource.ts";
import { jsonNumber, resourceJson } from "../../../../common/resources/resource-fields.ts";
import type { PlanResponse } from "../../../../gen/nebula/v1/plan_pb.ts";
import type { Command } from "../../command/command.ts";
import type { CommandContext } from "../../command/context.ts";
import type { SwitchFlag, TextFlag } from "../../command/flags.ts";
import { unlessRefused } from "../../errors/unless-refused.ts";
import { printWarnings } from "../../output/warnings.ts";
import { titleOf, writtenLines } from "../../views/entity-view.ts";
import { appKind } from "../entities/app-kind.ts";
import { type BoundResource, bindResource, revisionOf, type WrittenResource } from "../entities/bound-resource.ts";
import { cronJobKind } from "../entities/cron-job-kind.ts";
import { assertPlan, showPlan } from "../plan/plan.ts";
import { FILE, readResources } from "../resource-files/resource-flag.ts";
import { missingMembers } from "../resource-files/write-order.ts";
import { followedWrite } from "../wait/followed.ts";
import { WAIT_FLAGS, waitFor, waitOptions } from "../wait/wait-flags.ts";

const PLAN: TextFlag = {
  kind: "text",
  name: "plan",
  placeholder: "ID",
  help: "Write exactly the plan with this id, or nothing: nebulactl plan prints it.",
};
const DRY_RUN: SwitchFlag = { kind: "switch", name: "dry-run", help: "Write nothing, and print the plan, as nebulactl plan does." };

/** The most reads at the same time. */
const READS = 8;

/** A resource, and the one stored under its name when the apply began. */
type Planned = Readonly<{ bound: BoundResource; stored: Resource | undefined }>;

/** Writes the resources that files describe. */
export const apply: Command = {
  kind: "command",
  name: "apply",
  summary: "Creates or updates what resource files describe.",
  details: [
    "A resource file is YAML (or JSON), a document for each app, cron_job, device_group or user_group. Fields that a document omits get their",
    "default. All files are checked first; then apps, cron_jobs, device_groups and user_groups are written, in that order. It stops at the first error",
    "and says what was written. Users are not in files, which must not hold passwords and tokens: see nebulactl users.",
  ],
  arguments: [],
  required: [FILE],
  flags: [FILE, PLAN, DRY_RUN, ...WAIT_FLAGS],
  outputs: ["table", "json"],
  examples: [
    "nebulactl apply -f shop.yaml",
    "nebulactl apply -f shop.yaml --wait",
    "nebulactl apply -f shop.yaml --plan 7f31c2a0-mk1vq4xs",
    "nebulactl get all -o yaml | nebulactl apply --profile other -f -",
  ],
  async run(context) {
    const { values, io } = context;
    const waiting = await waitOptions(context);
    const resources = await readResources(context);
    if (values.on(DRY_RUN)) {
      await showPlan(resources, context);
      return 0;
    }
    const id = values.text(PLAN);
    const named = id === undefined ? undefined : await assertPlan(id, resources, context);
    const planned = await readStored(resources, context);
    if (named !== undefined) assertUnchanged(planned, named);
    const width = Math.max(0, ...planned.map(({ bound }) => titleOf(bound.resource).length));
    const written: string[] = [];
    const followed: Followed[] = [];
    for (const [index, plan] of planned.entries()) {
      const title = titleOf(plan.bound.resource);
      const outcome = await write(plan, context).catch(async (error: unknown) => {
        throw stopped(title, error, (await context.explain(error)).join(" "), written, planned.length - index - 1);
      });
      if (revisionOf(outcome.resource) !== (plan.stored === undefined ? undefined : revisionOf(plan.stored))) written.push(title);
      io.out(
        context.output === "json"
          ? `${jsonText(outcomeJson(plan.stored, outcome.resource))}\n`
          : writtenLines(plan.stored, outcome.resource, width).join(""),
      );
      printWarnings(outcome.warnings, context);
      followed.push(...followedWrite(plan.stored, outcome.resource));
    }
    return await waitFor(waiting, followed, context);
  },
};

/** Reads the stored resources and refuses groups with missing members, before anything is written. */
async function readStored(resources: readonly Resource[], context: CommandContext): Promise<Planned[]> {
  const planned = await mapLimited(resources.map(bindResource), READS, async (bound) => ({ bound, stored: await bound.stored(context) }));
  const missing = await missingMembers(
    planned.map(({ bound, stored }) => ({ resource: bound.resource, stored })),
    (members) =>
      mapLimited(
        members,
        READS,
        async ({ kind, name }) => (await unlessRefused<unknown>(callsOf(kind).get(context, name), Code.NotFound)) !== undefined,
      ),
  );
  if (missing.length > 0) throw invalidArgument(missing);
  return planned;
}

/** Throws `failed_precondition` where a stored resource is not at the revision that the plan was made from: the plan was read before it. */
function assertUnchanged(planned: readonly Planned[], { entities }: PlanResponse): void {
  for (const [index, { bound, stored }] of planned.entries()) {
    const { existsBefore = false, revisionBefore = 0n } = entities[index] ?? {};
    const isSame = stored === undefined ? !existsBefore : existsBefore && revisionOf(stored) === revisionBefore;
    if (!isSame)
      throw new NebulaError(
        "failed_precondition",
        `${titleOf(bound.resource)} has changed since the plan; nothing was written. Run nebulactl plan again`,
      );
  }
}

function callsOf(kind: "app" | "cron_job") {
  return kind === "app" ? appKind.calls : cronJobKind.calls;
}

function write({ bound, stored }: Planned, context: CommandContext): Promise<WrittenResource> {
  return stored === undefined ? bound.create(context) : bound.replace(context, revisionOf(stored));
}

function stopped(title: string, cause: unknown, reason: string, written: readonly string[], left: number): NebulaError {
  const before = written.length === 0 ? "nothing was written before" : `written before: ${written.join(", ")}`;
  const after = left === 0 ? "" : `; not tried: ${left} more`;
  return new NebulaError("failed_precondition", `stopped at ${title}: ${reason} (${before}${after})`, { cause });
}

function outcomeJson(before: Resource | undefined, after: Resource): JsonObject {
  const revision = revisionOf(after);
  const old = before === undefined ? undefined : revisionOf(before);
  const result = old === undefined ? "created" : old === revision ? "unchanged" : "updated";
  const changes = before === undefined || result === "unchanged" ? [] : fieldChanges(resourceJson(before), resourceJson(after));
  return {
    kind: after.kind,
    name: entityOf(after).name,
    result,
    ...(old === undefined ? {} : { revision_before: jsonNumber(old) }),
    revision: jsonNumber(revision),
    changes: changes.map(({ field, before: was, after: is }) => ({ field, before: was ?? null, after: is ?? null })),
  };
}
