import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AuditService } from "../../../gen/nebula/v1/audit_pb.ts";
import type { Noun } from "../command/command.ts";
import type { NumberFlag, TextFlag } from "../command/flags.ts";
import { allPages } from "../entities/pages.ts";
import { printList } from "../output/print-list.ts";
import { auditList } from "../status/audit-view.ts";
import { receivedRange } from "../status/received-range.ts";

const KINDS = ["app", "cron_job", "device_group", "user", "user_group", "device", "enrolment_token"];

const USER: TextFlag = {
  kind: "text",
  name: "user",
  aliases: ["who"],
  short: "u",
  placeholder: "USER",
  help: "Only of this caller: a user, device/ID, or nobody (no valid credential).",
};
const KIND: TextFlag = { kind: "text", name: "kind", short: "k", placeholder: KINDS.join("|"), choices: KINDS, help: "Only about this kind." };
const NAME: TextFlag = { kind: "text", name: "name", short: "n", placeholder: "NAME", help: "Only about what has this name." };
const OUTCOME: TextFlag = {
  kind: "text",
  name: "outcome",
  placeholder: "CODE",
  help: "Only with this outcome: OK, PERMISSION_DENIED, UNAUTHENTICATED, ...",
};
const SINCE: TextFlag = {
  kind: "text",
  name: "since",
  placeholder: "2h|TIME",
  help: "Only since then: a duration back from now, or an ISO time.",
};
const UNTIL: TextFlag = { kind: "text", name: "until", placeholder: "1h|TIME", help: "Only before then." };
const LIMIT: NumberFlag = {
  kind: "number",
  name: "limit",
  aliases: ["page-size"],
  short: "p",
  placeholder: "N",
  min: 1,
  integer: true,
  help: "At most this many. Default: 50.",
};
const LAST_ID: TextFlag = {
  kind: "text",
  name: "last-id",
  short: "l",
  placeholder: "ID",
  help: "Go on where an earlier list ended, as it says at its end.",
};

const DEFAULT_LIMIT = 50;

/** The audit log. */
export const audit: Noun = {
  kind: "noun",
  name: "audit",
  summary: "Shows who changed what, and who was refused.",
  defaultVerb: "list",
  verbs: [
    {
      kind: "command",
      name: "list",
      summary: "Lists the audit log, newest first. For admins.",
      flags: [USER, KIND, NAME, OUTCOME, SINCE, UNTIL, LIMIT, LAST_ID],
      outputs: ["table", "json", "yaml"],
      examples: ["nebulactl audit --kind app --name web", "nebulactl audit list --outcome UNAUTHENTICATED --since 1d -o json"],
      async run(context) {
        const { values, signal, io } = context;
        const range = { since: values.text(SINCE), until: values.text(UNTIL), creationTime: undefined, creationFilter: undefined };
        const { fromMs, untilMs } = receivedRange(range, io.clock.now());
        const filter = {
          who: values.text(USER) ?? "",
          kind: values.text(KIND) ?? "",
          name: values.text(NAME) ?? "",
          outcome: values.text(OUTCOME)?.toUpperCase() ?? "",
          ...(fromMs === undefined ? {} : { fromTime: timestampFromMs(fromMs) }),
          ...(untilMs === undefined ? {} : { untilTime: timestampFromMs(untilMs) }),
        };
        const client = await context.client(AuditService);
        const fetch = async (pageSize: number, pageToken: string) => {
          const { auditEntries, nextPageToken } = await client.listAuditEntries({ ...filter, pageSize, pageToken }, { signal });
          return { items: auditEntries, nextPageToken };
        };
        const onMore = (token: string) => io.err(`there are more: go on with --last-id ${token}\n`);
        await printList(
          allPages(fetch, { limit: values.number(LIMIT) ?? DEFAULT_LIMIT, from: values.text(LAST_ID) ?? "", onMore }),
          auditList,
          context,
        );
        return 0;
      },
    },
  ],
};
