import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AuditService } from "../../../gen/nebula/v1/audit_pb.ts";
import type { Noun } from "../command/command.ts";
import type { TextFlag } from "../command/flags.ts";
import { auditList } from "../status/audit-view.ts";
import { timeRange } from "../status/received-range.ts";
import { LAST_ID, pageLimit, printSomePages, SINCE, UNTIL } from "./some-pages.ts";

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
const LIMIT = pageLimit(50);

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
      flags: [USER, KIND, NAME, OUTCOME, SINCE, UNTIL, LIMIT.flag, LAST_ID],
      outputs: ["table", "json", "yaml"],
      examples: ["nebulactl audit --kind app --name web", "nebulactl audit list --outcome UNAUTHENTICATED --since 1d -o json"],
      async run(context) {
        const { values, signal, io } = context;
        const { fromMs, untilMs } = timeRange({ since: values.text(SINCE), until: values.text(UNTIL) }, io.clock.now());
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
        await printSomePages(fetch, LIMIT, auditList, context);
        return 0;
      },
    },
  ],
};
