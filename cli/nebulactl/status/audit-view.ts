import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type AuditEntry, AuditEntrySchema } from "../../../gen/nebula/v1/audit_pb.ts";
import type { ListView } from "../output/print-list.ts";
import { protoJson } from "../output/proto-json.ts";

/** Entries of the audit log, a line each. */
export const auditList: ListView<AuditEntry> = {
  plural: "audit entries",
  header: ["TIME", "WHO", "FROM", "CALL", "ABOUT", "REVISION", "OUTCOME", "DETAIL"],
  row(entry) {
    const { at, who, from, method, kind, name, outcome, repeats, detail } = entry;
    return [
      at === undefined ? "" : timestampDate(at).toISOString(),
      who,
      from,
      method.replace(/^\/nebula\.v1\./, ""),
      [kind, name].filter((word) => word !== "").join(" "),
      revisionText(entry),
      outcome === "OK" ? outcome : { text: repeats > 1 ? `${outcome} x${repeats}` : outcome, color: "red" },
      detail,
    ];
  },
  json: (entry) => protoJson(AuditEntrySchema, entry),
};

/** `41->42`, `42` where it stayed, `->1` where there was none before; empty where the call was about none. */
function revisionText({ revisionBefore: before, revisionAfter: after }: AuditEntry): string {
  if (before === after) return before === 0n ? "" : String(before);
  return `${before === 0n ? "" : before}->${after === 0n ? "" : after}`;
}
