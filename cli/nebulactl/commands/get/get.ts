import { Code, ConnectError } from "@connectrpc/connect";
import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { jsonText } from "../../../../common/printable.ts";
import { printResource } from "../../../../common/resources/print-resource.ts";
import type { Resource, ResourceKind } from "../../../../common/resources/resource.ts";
import { resourceJson } from "../../../../common/resources/resource-fields.ts";
import { nearestName } from "../../../../common/text/wording.ts";
import type { Command } from "../../command/command.ts";
import type { CommandContext } from "../../command/context.ts";
import { type NumberFlag, normaliseName, type TextFlag } from "../../command/flags.ts";
import { appKind } from "../entities/app-kind.ts";
import { cronJobKind } from "../entities/cron-job-kind.ts";
import { deviceGroupKind } from "../entities/device-group-kind.ts";
import type { Entity, Kind } from "../entities/kind.ts";
import { userGroupKind } from "../entities/user-group-kind.ts";
import { allPages } from "../lists/pages.ts";

const NOUN: TextFlag = {
  kind: "text",
  name: "kind",
  placeholder: "NOUN",
  offers: { words: ["apps", "cron-jobs", "device-groups", "user-groups", "all"] },
  help: "What to print: apps, cron-jobs, device-groups, user-groups or all.",
};
const NAME: TextFlag = { kind: "text", name: "name", placeholder: "NAME", offers: { names: "resource" }, help: "Only the resource of this name." };
const AT: NumberFlag = {
  kind: "number",
  name: "at",
  placeholder: "REVISION",
  min: 1,
  max: Number.MAX_SAFE_INTEGER,
  integer: true,
  help: "The resource as it was at this revision. Default: as it is now.",
};

type Source = Readonly<{
  kind: ResourceKind;
  one(context: CommandContext, name: string): Promise<Resource>;
  all(context: CommandContext): AsyncIterable<Resource>;
}>;

const SOURCES: ReadonlyMap<string, Source> = new Map([
  ["apps", sourceOf(appKind)],
  ["cron-jobs", sourceOf(cronJobKind)],
  ["device-groups", sourceOf(deviceGroupKind)],
  ["user-groups", sourceOf(userGroupKind)],
]);

/** Prints resources as `apply -f` takes them. */
export const get: Command = {
  kind: "command",
  name: "get",
  summary: "Prints resources as apply -f takes them.",
  arguments: [
    { label: "NOUN", flag: NOUN },
    { label: "NAME", flag: NAME },
  ],
  required: [NOUN],
  flags: [AT],
  outputs: ["yaml", "json"],
  examples: ["nebulactl get apps web -o yaml", "nebulactl get apps web --at 41", "nebulactl get all > everything.yaml"],
  async run(context) {
    const { values, io, output } = context;
    const sources = sourcesNamed(values.text(NOUN) ?? "");
    const name = values.text(NAME);
    if (name !== undefined) {
      const [source, ...more] = sources;
      if (source === undefined || more.length > 0)
        throw new NebulaError("invalid_argument", `get all takes no name; use apps, cron-jobs, device-groups or user-groups before "${name}"`);
      const at = values.number(AT);
      const resource = at === undefined ? await source.one(context, name) : await resourceAt(source.kind, name, BigInt(at), context);
      io.out(output === "json" ? `${jsonText(resourceJson(resource), 2)}\n` : printResource(resource));
      return 0;
    }
    if (values.has(AT)) throw new NebulaError("invalid_argument", "--at is of one resource: give its NAME, as in get apps web --at 41");
    let count = 0;
    for (const source of sources) {
      for await (const resource of sources.length > 1 ? readable(source, context) : source.all(context)) {
        if (output === "json") io.out(`${count === 0 ? "[\n" : ",\n"}${jsonText(resourceJson(resource))}`);
        else io.out(`${count === 0 ? "" : "---\n"}${printResource(resource)}`);
        count++;
      }
    }
    if (output === "json") io.out(count === 0 ? "[]\n" : "\n]\n");
    else if (count === 0) io.err("no resources\n");
    return 0;
  },
};

/** The resource as it was at a revision. Throws `invalid_argument` for a kind without a history, `failed_precondition` for a delete. */
async function resourceAt(kind: ResourceKind, name: string, at: bigint, { client, signal }: CommandContext): Promise<Resource> {
  if (kind === "user_group") throw new NebulaError("invalid_argument", "user_groups have no history; leave --at out, or look into nebulactl audit");
  const [{ HistoryService }, { targetKindOf }, { resourceOfBody }] = await Promise.all([
    import("../../../../gen/nebula/v1/history_pb.ts"),
    import("../../../../common/resources/target-kind.ts"),
    import("../../views/revision-view.ts"),
  ]);
  const { revision } = await (await client(HistoryService)).getRevision({ kind: targetKindOf(kind), name, revision: at }, { signal });
  const resource = revision === undefined ? undefined : resourceOfBody(revision.body);
  if (resource === undefined)
    throw new NebulaError("failed_precondition", `revision ${at} of ${kind} ${name} is its delete; use a revision before it`);
  return resource;
}

/** The resources that the login may read: user_groups are only for admins. */
async function* readable(source: Source, context: CommandContext): AsyncGenerator<Resource> {
  try {
    yield* source.all(context);
  } catch (error) {
    if (!(error instanceof ConnectError) || error.code !== Code.PermissionDenied) throw error;
    context.io.err("user_groups are omitted: only admins may read them\n");
  }
}

function sourcesNamed(noun: string): Source[] {
  const wanted = normaliseName(noun);
  if (wanted === "all") return [...SOURCES.values()];
  const found = SOURCES.get(wanted) ?? SOURCES.get(`${wanted}s`);
  if (found !== undefined) return [found];
  if (wanted === "user" || wanted === "users") {
    throw new NebulaError("invalid_argument", "get prints no users, since files must not hold passwords and tokens; use nebulactl users list");
  }
  const known = [...SOURCES.keys(), "all"];
  throw new NebulaError("invalid_argument", `invalid noun "${noun}" for "get": use ${nearestName(noun, known) ?? known.join(", ")}`);
}

function sourceOf<M extends Entity>({ kind, calls, toResource }: Kind<M>): Source {
  return {
    kind,
    one: async (context, name) => toResource((await calls.get(context, name)).entity),
    async *all(context) {
      for await (const entity of allPages((size, token) => calls.page(context, size, token))) yield toResource(entity);
    },
  };
}
