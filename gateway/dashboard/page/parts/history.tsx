import { createClient } from "@connectrpc/connect";
import type { ComponentChildren } from "preact";
import type { TargetKind } from "../../../../gen/nebula/v1/device_pb.ts";
import { HistoryService } from "../../../../gen/nebula/v1/history_pb.ts";
import { usePages } from "./ask-server.ts";
import { formatCount } from "./format.ts";
import { type HistoryLine, historyLine } from "./history-line.ts";
import { usePage } from "./page-context.ts";
import { type Column, Table } from "./table.tsx";
import { Age } from "./values.tsx";
import { Empty, ViewState } from "./view-state.tsx";

const PAGE_SIZE = 50;

const COLUMNS: readonly Column<HistoryLine>[] = [
  { key: "at", head: "When", cell: ({ at }) => <Age of={at} /> },
  { key: "by", head: "By", from: "medium", cell: ({ by }) => by },
  { key: "action", head: "Action", cell: ({ action }) => action },
  { key: "change", head: "Change", from: "medium", cell: ({ change }) => <span title={change}>{change}</span> },
];

/** On a narrow window what can be done with a revision takes the place of its action. */
function roomy(column: Column<HistoryLine>): Column<HistoryLine> {
  return column.key === "action" ? { ...column, from: "medium" } : column;
}

type Props = Readonly<{
  kind: TargetKind;
  name: string;
  /** Another number reads at once. */
  changes: number;
  /** Where the change that made a revision is shown. */
  addressOf: (revision: bigint) => string;
  /** Further actions on a revision. */
  more?: (line: HistoryLine) => ComponentChildren;
}>;

/** The kept revisions of an app or device_group, newest first. */
export function History({ kind, name, changes, addressOf, more }: Props) {
  const { transport } = usePage();
  const number: Column<HistoryLine> = {
    key: "revision",
    head: "Revision",
    isNumber: true,
    cell: ({ revision }) => <a href={addressOf(revision)}>{formatCount(revision)}</a>,
  };
  const { state, onView } = usePages<HistoryLine>(
    `history ${kind} ${name}`,
    async (pageToken, signal) => {
      const { revisions, nextPageToken } = await createClient(HistoryService, transport).listRevisions(
        { kind, name, pageSize: PAGE_SIZE, pageToken },
        { signal },
      );
      return { items: revisions.map(historyLine), nextPageToken };
    },
    changes,
  );
  return (
    <ViewState of={state} empty={({ items }) => (items.length === 0 ? <Empty title="Nothing was ever changed here" /> : undefined)}>
      {({ items, hasMore }) => (
        <Table
          label="History"
          columns={
            more === undefined
              ? [number, ...COLUMNS]
              : [number, ...COLUMNS.map(roomy), { key: "more", head: "Actions", isHeadHidden: true, cell: more }]
          }
          rows={items}
          keyOf={({ revision }) => String(revision)}
          hasMore={hasMore}
          onView={onView}
        />
      )}
    </ViewState>
  );
}
