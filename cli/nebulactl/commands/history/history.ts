import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { targetKindOf } from "../../../../common/resources/target-kind.ts";
import { HistoryService, type Revision } from "../../../../gen/nebula/v1/history_pb.ts";
import type { Command } from "../../command/command.ts";
import type { CommandContext } from "../../command/context.ts";
import { LIST_OUTPUTS } from "../../command/global-flags.ts";
import { printList } from "../../output/print-list.ts";
import { changeList, type RevisionLine, revisionJson, revisionLines, revisionList } from "../../views/revision-view.ts";
import { allPages, LAST_ID, pageLimit, printSomePages } from "../lists/pages.ts";
import { type ReceivedRange, SINCE, timeRange, UNTIL } from "../lists/time-range.ts";
import { entityNamed, NAME } from "./entity-named.ts";

const LIMIT = pageLimit(50);

/** Shows the changes, of one entity field by field, or of all by time. */
export const history: Command = {
  kind: "command",
  name: "history",
  summary: "Shows who changed what, when, and from which value to which.",
  details: [
    "With NAME: the kept revisions of an app, a cron_job or a device_group, newest first, field by field; a deleted one has a history, too. Without",
    "NAME: what was changed of everything that this login may read, newest first. Secret values are shown as in every read.",
  ],
  arguments: [{ label: "NAME", flag: NAME }],
  flags: [SINCE, UNTIL, LIMIT.flag, LAST_ID],
  outputs: LIST_OUTPUTS,
  examples: ["nebulactl history web", "nebulactl history cron_job/web -o json", "nebulactl history --since 1d"],
  async run(context) {
    const { values, io } = context;
    const range = timeRange({ since: values.text(SINCE), until: values.text(UNTIL) }, io.clock.now());
    const name = values.text(NAME);
    if (name === undefined) await printChanges(range, context);
    else await printRevisions(name, range, context);
    return 0;
  },
};

async function printChanges({ fromMs, untilMs }: ReceivedRange, context: CommandContext): Promise<void> {
  const { signal, io } = context;
  const client = await context.client(HistoryService);
  const filter = {
    ...(fromMs === undefined ? {} : { fromTime: timestampFromMs(fromMs) }),
    ...(untilMs === undefined ? {} : { untilTime: timestampFromMs(untilMs) }),
  };
  const fetch = async (pageSize: number, pageToken: string) => {
    const { changes, nextPageToken } = await client.listChanges({ ...filter, pageSize, pageToken }, { signal });
    return { items: changes, nextPageToken };
  };
  await printSomePages(fetch, LIMIT, changeList(io.clock.now()), context);
}

async function printRevisions(text: string, range: ReceivedRange, context: CommandContext): Promise<void> {
  const { signal, io, values, output } = context;
  const { kind, name } = await entityNamed(text, context);
  const client = await context.client(HistoryService);
  const fetch = async (pageSize: number, pageToken: string) => {
    const answer = await client.listRevisions({ kind: targetKindOf(kind), name, pageSize, pageToken }, { signal });
    return { items: answer.revisions, nextPageToken: answer.nextPageToken };
  };
  let next: string | undefined;
  const limit = values.number(LIMIT.flag) ?? LIMIT.fallback;
  const onMore = (token: string) => {
    next = token;
  };
  const revisions = within(range, allPages(fetch, { limit, from: values.text(LAST_ID) ?? "", onMore }));
  if (output === "json" || output === "yaml") await printList(revisions, { ...revisionList, row: () => [], json: revisionJson }, context);
  else await printList(linesOf(revisions, io.clock.now()), { ...revisionList, json: () => null }, context);
  if (next !== undefined) io.err(`showing ${limit}; more with --last-id ${next}\n`);
}

/** The revisions of a time range; they are newest first. */
async function* within(
  { fromMs = 0, untilMs = Number.POSITIVE_INFINITY }: Readonly<{ fromMs?: number | undefined; untilMs?: number | undefined }>,
  revisions: AsyncIterable<Revision>,
) {
  for await (const revision of revisions) {
    const at = revision.change?.at === undefined ? 0 : timestampMs(revision.change.at);
    if (at < fromMs) return;
    if (at < untilMs) yield revision;
  }
}

async function* linesOf(revisions: AsyncIterable<Revision>, now: number): AsyncGenerator<RevisionLine> {
  for await (const revision of revisions) yield* revisionLines(revision, now);
}
