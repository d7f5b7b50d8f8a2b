import type { Command, Deferred, Noun } from "../../command/command.ts";
import { LIST_OUTPUTS, OUTPUTS } from "../../command/global-flags.ts";
import { deferred } from "../../command/load-commands.ts";
import { renderValue } from "../../output/render-value.ts";
import { LIMIT_FLAGS, NO_LIMIT, printSomePages } from "../lists/pages.ts";
import type { Entity, Kind } from "./kind.ts";
import { argumentOf, type EntityNoun } from "./spec.ts";

/** Makes the commands for one kind of entity. */
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
      change("create", `Creates ${oneOf(kind)}.`, async () => (await import("./changes.ts")).createVerb(spec, await spec.changes())),
      change("update", `Changes the given fields of ${oneOf(kind)}; the others stay.`, async () =>
        (await import("./changes.ts")).updateVerb(spec, await spec.changes()),
      ),
      change("delete", `Deletes ${oneOf(kind)}.`, async () => (await import("./changes.ts")).deleteVerb(spec, await spec.changes())),
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
    flags: LIMIT_FLAGS,
    outputs: LIST_OUTPUTS,
    examples: [`nebulactl ${name} list`, `nebulactl ${name} list -o json`],
    async run(context) {
      await printSomePages(
        (size, token) => kind.calls.page(context, size, token),
        NO_LIMIT,
        {
          plural: title(name),
          header,
          row,
          json: async (entity) => (await import("../../views/entity-view.ts")).entityJson(kind.toResource(entity)),
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
    examples: [`nebulactl ${spec.name} info ${spec.exampleName}`, `nebulactl ${spec.name} info ${spec.exampleName} -o yaml`],
    async run(context) {
      const { values, io, output, paint } = context;
      const { entity, lastChange } = await kind.calls.get(context, values.text(nameFlag) ?? "");
      const { infoText } = await import("../../views/entity-view.ts");
      io.out(await renderValue(infoText(kind.toResource(entity), lastChange, io.clock.now()), output, paint));
      return 0;
    },
  };
}

/** `cron_jobs`, the spelling of the API. */
function title(name: string): string {
  return name.replaceAll("-", "_");
}
