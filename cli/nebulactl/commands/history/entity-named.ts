import { Code } from "@connectrpc/connect";
import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { targetKindOf } from "../../../../common/resources/target-kind.ts";
import { ENTITY_KINDS, type EntityKey, type EntityKind } from "../../../../common/storage/config-store.ts";
import { noSuch } from "../../../../common/text/no-such.ts";
import { listed } from "../../../../common/text/wording.ts";
import { HistoryService, type Revision, RevisionAction } from "../../../../gen/nebula/v1/history_pb.ts";
import type { CommandContext } from "../../command/context.ts";
import { normaliseName, type TextFlag } from "../../command/flags.ts";
import { unlessRefused } from "../../errors/unless-refused.ts";
import type { Call } from "../entities/kind.ts";

export const NAME: TextFlag = {
  kind: "text",
  name: "name",
  placeholder: "NAME",
  offers: { names: "entity" },
  help: "The app, cron_job or device_group; cron_job/web where others have that name, too.",
};

/**
 * The entity that NAME means: `web`, or `cron_job/web`. A deleted one counts, since it has a history. Rejects with `invalid_argument` if several kinds have the
 * name, with `not_found` if none has that this login may read, and with the server's refusal of a kind that is named.
 */
export async function entityNamed(text: string, call: Call): Promise<EntityKey> {
  const slash = text.indexOf("/");
  if (slash >= 0) {
    const kind = kindNamed(text.slice(0, slash));
    if (kind === undefined) throw new NebulaError("invalid_argument", `invalid NAME "${text}": use web, app/web, cron_job/web or device_group/web`);
    const entity = { kind, name: text.slice(slash + 1) };
    if ((await newestRevision(call, entity)) === undefined) throw noSuch(entity.kind, entity.name);
    return entity;
  }
  const newest = await Promise.all(ENTITY_KINDS.map((kind) => unlessRefused(newestRevision(call, { kind, name: text }), Code.PermissionDenied)));
  const found = ENTITY_KINDS.flatMap((kind, at) => {
    const revision = newest[at];
    return revision === undefined ? [] : [{ kind, isDeleted: revision.action === RevisionAction.DELETE }];
  });
  const [only, ...more] = found;
  if (only === undefined)
    throw noSuch("app, cron_job or device_group", text, "create it, or look for its name in the lists of what this login may read");
  if (more.length === 0) return { kind: only.kind, name: text };
  const which = listed(found.map(({ kind, isDeleted }) => `${kind}${isDeleted ? " (deleted)" : ""}`));
  const use = found.map(({ kind }) => `${kind}/${text}`).join(" or ");
  throw new NebulaError("invalid_argument", `"${text}" is the name of several: ${which}; use ${use}`);
}

/** Apps, `cron-job`, `device_groups`: the kind before a slash; undefined if the word names none. */
export function kindNamed(word: string): EntityKind | undefined {
  const wanted = normaliseName(word).replace(/s$/, "");
  return ENTITY_KINDS.find((known) => normaliseName(known) === wanted);
}

async function newestRevision(
  { client, signal }: Pick<CommandContext, "client" | "signal">,
  { kind, name }: EntityKey,
): Promise<Revision | undefined> {
  const { revisions } = await (await client(HistoryService)).listRevisions({ kind: targetKindOf(kind), name, pageSize: 1 }, { signal });
  return revisions[0];
}
