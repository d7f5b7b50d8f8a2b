/** The content of a line of a history. Pure. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { printableLine } from "../../../../common/printable.ts";
import { fieldLines } from "../../../../common/resources/field-changes.ts";
import { enumWord } from "../../../../common/text/enum-words.ts";
import { type Revision, RevisionAction, RevisionActionSchema } from "../../../../gen/nebula/v1/history_pb.ts";
import type { FieldDifference } from "../../../../gen/nebula/v1/plan_pb.ts";

export type HistoryLine = Readonly<{
  revision: bigint;
  /** 0 if there was none, or if it is not kept. */
  previous: bigint;
  action: string;
  by: string;
  at: number | undefined;
  /** `docker_image shop:1 -> shop:2, +1` */
  change: string;
  /** Whether it has a body of its own, which can come back. */
  hasBody: boolean;
}>;

export function historyLine({ revision, previousRevision, action, change, differences, body }: Revision): HistoryLine {
  const [first, ...more] = changedFields(differences, action === RevisionAction.CREATE);
  const text = first === undefined ? "" : `${first.field} ${first.change}`;
  return {
    revision,
    previous: previousRevision,
    action: enumWord(RevisionActionSchema, action),
    by: printableLine(change?.by ?? ""),
    at: change?.at === undefined ? undefined : timestampMs(change.at),
    change: more.length === 0 ? text : `${text}, +${more.length}`,
    hasBody: body.case !== undefined,
  };
}

export type ChangedField = Readonly<{ field: string; change: string }>;

/** The differences, a line each: the name of the field on its first line alone. */
export function changedFields(differences: readonly FieldDifference[], isCreated = false): readonly ChangedField[] {
  return differences.flatMap((difference) =>
    fieldLines(difference, isCreated).map(([field, change]) => ({ field: printableLine(field), change: printableLine(change) })),
  );
}
