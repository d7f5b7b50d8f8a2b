import type { Command, Deferred, Noun, OutputFormat } from "../command/command.ts";
import type { CommandContext } from "../command/context.ts";
import type { NumberFlag, TextFlag } from "../command/flags.ts";
import { deferred } from "../command/load-commands.ts";
import type { Entity } from "../entities/entity-calls.ts";
import type { Kind } from "../entities/kind.ts";
import { allPages } from "../entities/pages.ts";
import type { Field } from "../fields/field.ts";
import { printList } from "../output/print-list.ts";
import { renderValue } from "../output/render-value.ts";
import type { Cell } from "../output/table.ts";
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
  header: readonly string[];
  row(entity: M): readonly Cell[];
  /** What create, update and delete need besides; loaded for them alone. */
  changes(): Promise<EntityChanges<M>>;
  moreVerbs: readonly Command[];
}>;

/** What changing commands need to know of one kind of entity. */
export type EntityChanges<M extends Entity> = Readonly<{
  /** Flags that create needs besides the name. */
  requiredAtCreate: readonly TextFlag[];
  /** Whether an update may be for the devices' sake alone: --redeploy. */
  redeploys: boolean;
  fieldsOfCreate: readonly Field<M>[];
  fieldsOfUpdate: readonly Field<M>[];
  examples: Readonly<{ create: readonly string[]; update: readonly string[] }>;
  /** Who uses an entity of this kind. */
  findUse: FindUse;
}>;

const LIMIT: NumberFlag = { kind: "number", name: "limit", placeholder: "N", min: 1, integer: true, help: "At most this many. Default: all." };
export const OUTPUTS: readonly [OutputFormat, ...OutputFormat[]] = ["table", "json", "yaml"];

/** The commands for one kind of entity. */
export function entityNoun<M extends Entity>(spec: EntityNoun<M>): Noun {
  const { kind, name, aliases, summary, moreVerbs } = spec;
  return {
    kind: "noun",
    name,
    aliases,
    summary,
    verbs: [
      list(spec),
      info(spec),
      change("create", `Creates ${oneOf(kind)}.`, async () => (await import("./entity-changes.ts")).createVerb(spec, await spec.changes())),
      change("update", `Changes the given fields of ${oneOf(kind)}; the others stay.`, async () =>
        (await import("./entity-changes.ts")).updateVerb(spec, await spec.changes()),
      ),
      change("delete", `Deletes ${oneOf(kind)}.`, async () => (await import("./entity-changes.ts")).deleteVerb(spec, await spec.changes())),
      ...moreVerbs,
    ],
  };
}

function change(name: string, summary: string, load: () => Promise<Omit<Command, "name" | "summary">>): Deferred<Command> {
  return deferred({ name, summary, load: async () => ({ ...(await load()), name, summary }) });
}

function oneOf<M extends Entity>({ kind }: Kind<M>): string {
  return kind === "app" ? "an app" : `a ${kind}`;
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
      await printList(
        items,
        {
          plural: title(name),
          header,
          row,
          json: async (entity) => (await import("../entities/entity-json.ts")).entityJson(kind.toResource(entity)),
        },
        context,
      );
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
      const { infoText } = await import("./entity-info.ts");
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

export const IF_REVISION: NumberFlag = {
  kind: "number",
  name: "if-revision",
  placeholder: "N",
  min: 1,
  max: Number.MAX_SAFE_INTEGER,
  integer: true,
  help: "Only when it is at this revision; otherwise nothing is changed.",
};

/** --if-revision as the API takes it. */
export function ifRevision({ values }: Pick<CommandContext, "values">): bigint | undefined {
  const revision = values.number(IF_REVISION);
  return revision === undefined ? undefined : BigInt(revision);
}
