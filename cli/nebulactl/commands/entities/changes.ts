import { readFileSync } from "node:fs";
import { invalidArgument, NebulaError } from "../../../../common/errors/nebula-error.ts";
import { systemReason } from "../../../../common/errors/system-reason.ts";
import { jsonNumber } from "../../../../common/resources/resource-fields.ts";
import { utf8Text } from "../../../../common/text/utf8.ts";
import type { Command } from "../../command/command.ts";
import type { CommandContext } from "../../command/context.ts";
import type { Flag, SwitchFlag } from "../../command/flags.ts";
import { OUTPUTS } from "../../command/global-flags.ts";
import { type FieldInput, readFields } from "../../fields/field.ts";
import { renderValue } from "../../output/render-value.ts";
import { printWarnings } from "../../output/warnings.ts";
import { entityJson, writtenLines } from "../../views/entity-view.ts";
import { followedDelete, followedWrite } from "../wait/followed.ts";
import { WAIT_FLAGS, waitFor, waitOptions } from "../wait/wait-flags.ts";
import { confirmDelete, YES } from "./confirm-delete.ts";
import { IF_REVISION, ifRevision } from "./if-revision.ts";
import type { Entity, Kind } from "./kind.ts";
import { argumentOf, type EntityChanges, type EntityNoun } from "./spec.ts";

const REDEPLOY: SwitchFlag = {
  kind: "switch",
  name: "redeploy",
  help: "Raises the revision even if nothing differs, so that the containers of an app are re-created.",
};
/** `create`: every field has a flag. */
export function createVerb<M extends Entity>(spec: EntityNoun<M>, changes: EntityChanges<M>): Omit<Command, "name" | "summary"> {
  const { kind, nameFlag } = spec;
  const { requiredAtCreate, fieldsOfCreate, examples } = changes;
  return {
    kind: "command",
    arguments: [argumentOf(spec)],
    required: [nameFlag, ...requiredAtCreate],
    flags: [...fieldsOfCreate.flatMap(({ flags }) => flags), ...waitFlags(kind)],
    outputs: OUTPUTS,
    examples: examples.create,
    async run(context) {
      const waiting = await waitOptions(context);
      const entity = kind.make(context.values.text(nameFlag) ?? "", readFields(fieldsOfCreate, context.values, fieldInput(context)).value);
      const violations = await kind.validate(entity);
      if (violations.length > 0) throw invalidArgument(violations);
      const written = await kind.calls.create(context, entity);
      await printWritten(kind, undefined, written.entity, written.warnings, context);
      return await waitFor(waiting, followedWrite(undefined, kind.toResource(written.entity)), context);
    },
  };
}

/** `update`: only the given fields change. */
export function updateVerb<M extends Entity>(spec: EntityNoun<M>, changes: EntityChanges<M>): Omit<Command, "name" | "summary"> {
  const { kind, nameFlag } = spec;
  const { redeploys, fieldsOfUpdate, examples } = changes;
  return {
    kind: "command",
    arguments: [argumentOf(spec)],
    required: [nameFlag],
    flags: [...fieldsOfUpdate.flatMap(({ flags }) => flags), ...(redeploys ? [REDEPLOY] : []), IF_REVISION, ...waitFlags(kind)],
    outputs: OUTPUTS,
    examples: examples.update,
    async run(context) {
      const { values } = context;
      const waiting = await waitOptions(context);
      const name = values.text(nameFlag) ?? "";
      const { paths, value } = readFields(fieldsOfUpdate, values, fieldInput(context));
      const redeploy = values.on(REDEPLOY);
      if (paths.length === 0 && !redeploy) {
        throw new NebulaError(
          "invalid_argument",
          `nothing to change in ${kind.kind} ${name}; use the flag of a field${redeploys ? ", or --redeploy" : ""}`,
        );
      }
      // Read only to show what changes: the server merges the update into the entity as it is then.
      const { entity: before } = await kind.calls.get(context, name);
      const written = await kind.calls.update(context, { entity: kind.make(name, value), paths, ifRevision: ifRevision(context), redeploy });
      await printWritten(kind, before, written.entity, written.warnings, context);
      return await waitFor(waiting, followedWrite(kind.toResource(before), kind.toResource(written.entity)), context);
    },
  };
}

/** `delete`, which asks first on a terminal. */
export function deleteVerb<M extends Entity>(spec: EntityNoun<M>, changes: EntityChanges<M>): Omit<Command, "name" | "summary"> {
  const { kind, nameFlag } = spec;
  return {
    kind: "command",
    arguments: [argumentOf(spec)],
    required: [nameFlag],
    flags: [YES, IF_REVISION, ...waitFlags(kind)],
    outputs: OUTPUTS,
    examples: [`nebulactl ${spec.name} delete ${spec.exampleName}`, `nebulactl ${spec.name} delete ${spec.exampleName} --yes`],
    async run(context) {
      const waiting = await waitOptions(context);
      const name = context.values.text(nameFlag) ?? "";
      await confirmDelete(`${kind.kind} ${name}`, name, context, changes.findUse);
      const { revision, warnings } = await kind.calls.remove(context, name, ifRevision(context));
      const text = () => `${kind.kind} ${name} deleted, revision ${revision}\n`;
      context.io.out(await renderValue({ text, json: () => ({ name, revision: jsonNumber(revision) }) }, context.output, context.paint));
      printWarnings(warnings, context);
      return await waitFor(waiting, followedDelete(kind.kind, name, revision), context);
    },
  };
}

/** Devices have no user_groups to wait for. */
function waitFlags<M extends Entity>({ kind }: Kind<M>): readonly Flag[] {
  return kind === "user_group" ? [] : WAIT_FLAGS;
}

/**
 * Prints the outcome of a write: as text, a line followed by the changed fields; else the stored entity.
 * @param before undefined if it was created
 */
async function printWritten<M extends Entity>(
  kind: Kind<M>,
  before: M | undefined,
  after: M,
  warnings: readonly string[],
  context: Pick<CommandContext, "io" | "output" | "paint">,
): Promise<void> {
  const { io, output, paint } = context;
  const resource = kind.toResource(after);
  const text = () => writtenLines(before === undefined ? undefined : kind.toResource(before), resource, 0).join("");
  io.out(await renderValue({ text, json: () => entityJson(resource) }, output, paint));
  printWarnings(warnings, context);
}

function fieldInput(context: Pick<CommandContext, "io">): FieldInput {
  return { readFile, warn: (sentence) => printWarnings([sentence], context) };
}

function readFile(path: string): string {
  try {
    return utf8Text(readFileSync(path), "it");
  } catch (error) {
    throw new NebulaError("invalid_argument", `${path} can't be read: ${systemReason(error)}`, { cause: error });
  }
}
