import { createClient } from "@connectrpc/connect";
import { useState } from "preact/hooks";
import { printableLine } from "../../../../../common/printable.ts";
import { AuditService } from "../../../../../gen/nebula/v1/audit_pb.ts";
import { type AuditFilter, auditAddress, auditCommand, auditFilterOf, auditRequest, timeFault } from "../../addresses/audit-filter.ts";
import { usePages } from "../../parts/ask-server.ts";
import { CommandLine } from "../../parts/command-line.tsx";
import { usePage } from "../../parts/page-context.ts";
import { type Column, ListTable } from "../../parts/table.tsx";
import { Age } from "../../parts/values.tsx";
import { Empty, TroubleBox } from "../../parts/view-state.tsx";
import type { View, ViewProps } from "../../view.ts";
import { AuditFilters } from "./audit-filters.tsx";
import { type AuditLine, auditLine } from "./audit-line.ts";
import { EntryDialog, Linked } from "./entry-dialog.tsx";

const PAGE_SIZE = 100;

/** The audit log, by the filter of its address. */
export const auditView: View = {
  path: "/ui/audit",
  title: () => "Audit",
  navigation: "Audit",
  isForAdmins: true,
  body: (props) => <Audit {...props} />,
};

function Audit({ query }: ViewProps) {
  const { clock, router } = usePage();
  const filter = auditFilterOf(query);
  const fault = timeFault(filter, clock.now());
  return (
    <>
      <h1 tabIndex={-1}>Audit</h1>
      <AuditFilters filter={filter} change={(next) => router.go(auditAddress(next), { replaces: true })} />
      {fault === undefined ? <Entries filter={filter} /> : <TroubleBox trouble={{ kind: "refused", code: "invalid_argument", message: fault }} />}
    </>
  );
}

function Entries({ filter }: Readonly<{ filter: AuditFilter }>) {
  const { transport, clock } = usePage();
  const [opened, setOpened] = useState<AuditLine | undefined>(undefined);
  const request = auditRequest(filter, clock.now()); // the list keeps the times that it began with
  const list = usePages<AuditLine>(auditAddress(filter), async (pageToken, signal) => {
    const page = { ...request, pageSize: PAGE_SIZE, pageToken };
    const { auditEntries, nextPageToken } = await createClient(AuditService, transport).listAuditEntries(page, { signal });
    return { items: auditEntries.map(auditLine), nextPageToken };
  });
  const when: Column<AuditLine> = {
    key: "at",
    head: "When",
    cell: (line) => (
      <button type="button" class="as-link" aria-haspopup="dialog" onClick={() => setOpened(line)}>
        <Age of={line.at} />
      </button>
    ),
  };
  const who: Column<AuditLine> = {
    key: "who",
    head: "Who",
    cell: ({ who }) => (
      <a href={auditAddress({ ...filter, user: who })} title="All that it did, by this filter">
        <bdi>{printableLine(who)}</bdi>
      </a>
    ),
  };
  return (
    <>
      <CommandLine line={auditCommand(filter)} />
      <ListTable
        list={list}
        label="Audit log"
        columns={[when, who, ...COLUMNS]}
        keyOf={({ id }) => id}
        one="entry"
        many="entries"
        none={<NoEntries filter={filter} />}
      />
      {opened !== undefined && <EntryDialog line={opened} close={() => setOpened(undefined)} />}
    </>
  );
}

const COLUMNS: readonly Column<AuditLine>[] = [
  {
    key: "about",
    head: "About",
    cell: ({ about, isRefused, outcome }) => (
      <>
        {isRefused && <RefusedMark outcome={about.text === "" ? outcome : ""} />}
        <Linked of={about} />
      </>
    ),
  },
  { key: "call", head: "Call", from: "wide", cell: ({ call }) => <span title={call}>{call.split("/").at(-1)}</span> },
  { key: "revision", head: "Revision", from: "medium", cell: ({ revision }) => <Linked of={revision} /> },
  {
    key: "outcome",
    head: "Outcome",
    from: "medium",
    cell: ({ outcome, isRefused }) => <span class={isRefused ? "state-failed" : ""}>{outcome}</span>,
  },
  { key: "detail", head: "Detail", from: "medium", cell: ({ detail }) => <bdi title={detail}>{detail}</bdi> },
];

/** On a narrow window, where the outcome has no column. @param outcome shown if there is nothing else, empty if there is */
function RefusedMark({ outcome }: Readonly<{ outcome: string }>) {
  return (
    <span class="until-medium state-failed">
      <span aria-hidden="true">! </span>
      <span class="visually-hidden">refused: </span>
      {outcome}
    </span>
  );
}

function NoEntries({ filter }: Readonly<{ filter: AuditFilter }>) {
  if (auditAddress(filter) === auditAddress()) return <Empty title="Nothing was changed or refused yet" />;
  return (
    <Empty title="No entry matches this filter">
      <p>
        <a href={auditAddress()}>Show all entries</a>
      </p>
    </Empty>
  );
}
