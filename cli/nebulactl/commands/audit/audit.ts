import { timestampDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AUDIT_KINDS, auditedRevisionText, callText, outcomeText } from "../../../../common/insight/text/access-text.ts";
import { type AuditEntry, AuditEntrySchema, AuditService } from "../../../../gen/nebula/v1/audit_pb.ts";
import type { Noun } from "../../command/command.ts";
import type { TextFlag } from "../../command/flags.ts";
import { LIST_OUTPUTS } from "../../command/global-flags.ts";
import type { ListView } from "../../output/print-list.ts";
import { protoJson } from "../../output/proto-json.ts";
import { LAST_ID, pageLimit, printSomePages } from "../lists/pages.ts";
import { SINCE, timeRange, UNTIL } from "../lists/time-range.ts";

const USER: TextFlag = {
  kind: "text",
  name: "user",
  aliases: ["who"],
  short: "u",
  placeholder: "USER",
  offers: { names: "user" },
  help: "Only calls of this caller: a user, device/ID, or nobody (no valid credential).",
};
const KIND: TextFlag = {
  kind: "text",
  name: "kind",
  short: "k",
  placeholder: "KIND",
  choices: AUDIT_KINDS,
  help: `Only calls about this kind: ${AUDIT_KINDS.join(", ")}.`,
};
const NAME: TextFlag = {
  kind: "text",
  name: "name",
  short: "n",
  placeholder: "NAME",
  offers: { names: "resource" },
  help: "Only calls about this name.",
};
const OUTCOME: TextFlag = {
  kind: "text",
  name: "outcome",
  placeholder: "CODE",
  help: "Only calls with this outcome: OK, PERMISSION_DENIED, UNAUTHENTICATED, ...",
};
const LIMIT = pageLimit(50);

/** A list of audit entries, a line each. */
const auditList: ListView<AuditEntry> = {
  plural: "audit entries",
  header: ["TIME", "WHO", "FROM", "CALL", "ABOUT", "REVISION", "OUTCOME", "DETAIL"],
  row(entry) {
    const { at, who, from, kind, name, outcome, detail } = entry;
    return [
      at === undefined ? "" : timestampDate(at).toISOString(),
      who,
      from,
      callText(entry),
      [kind, name].filter((word) => word !== "").join(" "),
      auditedRevisionText(entry),
      outcome === "OK" ? outcome : { text: outcomeText(entry), color: "red" },
      detail,
    ];
  },
  json: (entry) => protoJson(AuditEntrySchema, entry),
};

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
      summary: "Lists the audit log, newest first. Only for admins.",
      flags: [USER, KIND, NAME, OUTCOME, SINCE, UNTIL, LIMIT.flag, LAST_ID],
      outputs: LIST_OUTPUTS,
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
