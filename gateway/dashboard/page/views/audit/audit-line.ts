/** The content of a line of the audit log. Pure. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { auditedRevisionText, callText, outcomeText } from "../../../../../common/insight/text/access-text.ts";
import { printableLine } from "../../../../../common/printable.ts";
import type { AuditEntry } from "../../../../../gen/nebula/v1/audit_pb.ts";
import { changeAddress, changedKindOf, entityAddress } from "../../addresses/entity-addresses.ts";

/** A text, and where what it names is shown; `to` is undefined if that is nowhere. */
export type LinkedText = Readonly<{ text: string; to: string | undefined }>;

export type AuditLine = Readonly<{
  id: string;
  at: number | undefined;
  /** As the API has it, which a filter takes. */
  who: string;
  from: string;
  /** `AppService/UpdateApp` */
  call: string;
  /** `app web`; empty: the call is about nothing in particular. */
  about: LinkedText;
  /** `41->42`, with the page of the change. Empty: it concerned no revision. */
  revision: LinkedText;
  /** `OK`, `PERMISSION_DENIED x12` */
  outcome: string;
  isRefused: boolean;
  detail: string;
  requestId: string;
}>;

export function auditLine(entry: AuditEntry): AuditLine {
  const { id, at, who, from, outcome, detail, requestId } = entry;
  return {
    id,
    at: at === undefined ? undefined : timestampMs(at),
    who,
    from: printableLine(from),
    call: printableLine(callText(entry)),
    about: aboutOf(entry),
    revision: { text: auditedRevisionText(entry), to: changeOf(entry) },
    outcome: printableLine(outcomeText(entry)),
    isRefused: outcome !== "OK",
    detail: printableLine(detail),
    requestId: printableLine(requestId),
  };
}

/** A name that was refused may be of nothing. */
function aboutOf({ kind, name, outcome }: AuditEntry): LinkedText {
  const to = outcome === "OK" && name !== "" ? entityAddress(kind, name) : undefined;
  return { text: printableLine([kind, name].filter((word) => word !== "").join(" ")), to };
}

/** The change that made the revision, where the call made one. */
function changeOf({ kind: word, name, revisionBefore, revisionAfter }: AuditEntry): string | undefined {
  const kind = changedKindOf(word);
  if (kind === undefined || name === "" || revisionAfter === 0n || revisionAfter === revisionBefore) return undefined;
  return changeAddress({ kind, name, revision: revisionAfter });
}
