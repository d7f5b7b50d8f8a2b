import type { JsonObject } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { invalidArgument, NebulaError } from "../../../../common/errors/nebula-error.ts";
import { mapLimited } from "../../../../common/map-limited.ts";
import { jsonText } from "../../../../common/printable.ts";
import { fieldChanges } from "../../../../common/resources/field-changes.ts";
import { parseResourceFiles, type ResourceViolation, resourceViolationLine } from "../../../../common/resources/parse-resources.ts";
import { entityOf, type Resource } from "../../../../common/resources/resource.ts";
import { jsonNumber, resourceJson } from "../../../../common/resources/resource-fields.ts";
import type { Command } from "../../command/command.ts";
import type { CommandContext } from "../../command/context.ts";
import type { TextFlag } from "../../command/flags.ts";
import { unlessRefused } from "../../errors/unless-refused.ts";
import { printWarnings } from "../../output/warnings.ts";
import { titleOf, writtenLines } from "../../views/entity-view.ts";
import { appKind } from "../entities/app-kind.ts";
import { type BoundResource, bindResource, revisionOf, type WrittenResource } from "../entities/bound-resource.ts";
import { cronJobKind } from "../entities/cron-job-kind.ts";
import { readResourceFiles } from "./read-resource-files.ts";
import { inOrder, missingMembers } from "./write-order.ts";

const FILE: TextFlag = {
  kind: "text",
  name: "file",
  aliases: ["filename"],
  short: "f",
  placeholder: "FILE",
  offers: { files: true },
  repeatable: true,
  help: "A resource file, a folder of them, or - for standard input.",
};

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
  flags: [FILE],
  outputs: ["table", "json"],
  examples: ["nebulactl apply -f shop.yaml", "nebulactl get all -o yaml | nebulactl apply --profile other -f -"],
  async run(context) {
    const { values, io } = context;
    const parsed = parseResourceFiles(await readResourceFiles(values.all(FILE), () => io.readStdin(context.signal)));
    if (parsed.kind === "invalid") throw invalidFiles(parsed.violations);
    const planned = await readStored(inOrder(parsed.resources), context);
    const width = Math.max(0, ...planned.map(({ bound }) => titleOf(bound.resource).length));
    const written: string[] = [];
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
    }
    return 0;
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

function invalidFiles(violations: readonly ResourceViolation[]): NebulaError {
  const lines = violations.map(resourceViolationLine);
  return new NebulaError("invalid_argument", lines[0] ?? "invalid resource files", {
    violations: violations.map(({ description }, index) => ({ field: (lines[index] ?? "").replace(`: ${description}`, ""), description })),
  });
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
