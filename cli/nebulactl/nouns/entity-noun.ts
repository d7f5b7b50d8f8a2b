import type { Command, Noun, OutputFormat } from "../command/command.ts";
import type { NumberFlag, TextFlag } from "../command/flags.ts";
import type { Entity } from "../entities/entity-calls.ts";
import { entityJson } from "../entities/entity-json.ts";
import type { Kind } from "../entities/kind.ts";
import { allPages } from "../entities/pages.ts";
import type { Field } from "../fields/field.ts";
import { printList } from "../output/print-list.ts";
import { renderValue } from "../output/render-value.ts";
import type { Cell } from "../output/table.ts";
import { createVerb, deleteVerb, updateVerb } from "./entity-changes.ts";
import { infoText } from "./entity-info.ts";
import type { FindUse } from "./in-use.ts";

/** What tells the commands of one kind of entity from those of another. */
export type EntityNoun<M extends Entity> = Readonly<{
  kind: Kind<M>;
  /** `apps`; the singular is the kind. */
  name: string;
  aliases: readonly string[];
  summary: string;
  /** The flag that a name may be given by. */
  nameFlag: TextFlag;
  /** Flags that create needs besides the name. */
  requiredAtCreate: readonly TextFlag[];
  /** Whether an update may be for the devices' sake alone: --redeploy. */
  redeploys: boolean;
  fieldsOfCreate: readonly Field<M>[];
  fieldsOfUpdate: readonly Field<M>[];
  header: readonly string[];
  row(entity: M): readonly Cell[];
  examples: Readonly<{ create: readonly string[]; update: readonly string[] }>;
  /** Who uses an entity of this kind. */
  findUse: FindUse;
  moreVerbs: readonly Command[];
}>;

const LIMIT: NumberFlag = { kind: "number", name: "limit", placeholder: "N", min: 1, integer: true, help: "At most this many. Default: all." };
export const OUTPUTS: readonly [OutputFormat, ...OutputFormat[]] = ["table", "json", "yaml"];

/** The commands for one kind of entity. */
export function entityNoun<M extends Entity>(spec: EntityNoun<M>): Noun {
  const { name, aliases, summary, moreVerbs } = spec;
  return {
    kind: "noun",
    name,
    aliases,
    summary,
    verbs: [list(spec), info(spec), createVerb(spec), updateVerb(spec), deleteVerb(spec), ...moreVerbs],
  };
}

function list<M extends Entity>({ kind, name, header, row }: EntityNoun<M>): Command {
  return {
    kind: "command",
    name: "list",
    summary: `Lists the ${title(name)} by name.`,
    flags: [LIMIT],
    outputs: OUTPUTS,
    async run(context) {
      const items = allPages((size, token) => kind.calls.page(context, size, token), { limit: context.values.number(LIMIT) });
      await printList(items, { plural: title(name), header, row, json: (entity) => entityJson(kind.toResource(entity)) }, context);
      return 0;
    },
  };
}

function info<M extends Entity>(spec: EntityNoun<M>): Command {
  const { kind, nameFlag } = spec;
  return {
    kind: "command",
    name: "info",
    summary: `Shows one ${kind.kind}.`,
    arguments: [argumentOf(spec)],
    required: [nameFlag],
    outputs: OUTPUTS,
    async run(context) {
      const { values, io, output, paint } = context;
      const { entity, lastChange } = await kind.calls.get(context, values.text(nameFlag) ?? "");
      io.out(await renderValue(infoText(kind.toResource(entity), lastChange, io.clock.now()), output, paint));
      return 0;
    },
  };
}

/** The name, by position or by its flag. */
export function argumentOf<M extends Entity>({ nameFlag }: EntityNoun<M>) {
  return { label: nameFlag.placeholder, flag: nameFlag };
}

/** `cron-jobs` in the API's spelling. */
function title(name: string): string {
  return name.replaceAll("-", "_");
}
