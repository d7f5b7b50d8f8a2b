import { timestampMs } from "@bufbuild/protobuf/wkt";
import { CODE_NAMES } from "../../common/errors/codes.ts";
import { assertNoViolations, type Violation } from "../../common/errors/nebula-error.ts";
import { AUDIT_KINDS } from "../../common/insight/text/access-text.ts";
import type { AccessStore, AuditFilter } from "../../common/storage/access-store.ts";
import { quote } from "../../common/text/wording.ts";
import { timestampViolations } from "../../common/validation/device-requests.ts";
import { pageOf, validatePage } from "../../common/validation/list-request.ts";
import type { AuditService, ListAuditEntriesRequest } from "../../gen/nebula/v1/audit_pb.ts";
import type { ServiceHandlers } from "../rpc/call-context.ts";

/** A name longer than this is nobody's and nothing's, characters. */
const LONGEST = 256;

/** AuditService: who changed what. */
export function createAuditServiceHandlers({ accessStore }: { accessStore: Pick<AccessStore, "listAudit"> }): ServiceHandlers<typeof AuditService> {
  return {
    async listAuditEntries(request, { signal }) {
      const violations = [...validatePage(request), ...filterViolations(request)];
      assertNoViolations(violations);
      const { items, next } = await accessStore.listAudit(filterOf(request), pageOf(request), signal);
      return { auditEntries: [...items], nextPageToken: next ?? "" };
    },
  };
}

/** Returns filters that can match no entry: a typing error, which an empty list would hide. */
function filterViolations({ who, kind, name, outcome, fromTime, untilTime }: ListAuditEntriesRequest): Violation[] {
  const texts = Object.entries({ who, name }).filter(([, text]) => text.length > LONGEST);
  const words = [
    { field: "kind", word: kind, known: AUDIT_KINDS },
    { field: "outcome", word: outcome, known: CODE_NAMES },
  ].filter(({ word, known }) => word !== "" && !known.includes(word));
  return [
    ...texts.map(([field, text]) => ({ field, description: `${quote(text)} is too long: at most ${LONGEST} characters` })),
    ...words.map(({ field, word, known }) => ({ field, description: `unknown ${field} ${quote(word)}; use ${known.join(", ")}` })),
    ...timestampViolations(fromTime, "from_time"),
    ...timestampViolations(untilTime, "until_time"),
  ];
}

function filterOf({ who, kind, name, outcome, fromTime, untilTime }: ListAuditEntriesRequest): AuditFilter {
  return {
    ...(who === "" ? {} : { who }),
    ...(kind === "" ? {} : { kind }),
    ...(name === "" ? {} : { name }),
    ...(outcome === "" ? {} : { outcome }),
    ...(fromTime === undefined ? {} : { fromMs: timestampMs(fromTime) }),
    ...(untilTime === undefined ? {} : { untilMs: timestampMs(untilTime) }),
  };
}
