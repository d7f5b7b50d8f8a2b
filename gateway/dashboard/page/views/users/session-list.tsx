import { createClient } from "@connectrpc/connect";
import { useState } from "preact/hooks";
import { AccessService } from "../../../../../gen/nebula/v1/access_pb.ts";
import { ActionDialog } from "../../parts/action-dialog.tsx";
import { usePages } from "../../parts/ask-server.ts";
import { CommandLine } from "../../parts/command-line.tsx";
import { commandLine } from "../../parts/format.ts";
import { usePage } from "../../parts/page-context.ts";
import { type Column, Table } from "../../parts/table.tsx";
import { Age, Left } from "../../parts/values.tsx";
import { Empty, ViewState } from "../../parts/view-state.tsx";
import { type SessionLine, sessionLine } from "./user-model.ts";

const PAGE_SIZE = 100;

/** The sessions of a user, each with what ends it. */
export function SessionList({ user }: Readonly<{ user: string }>) {
  const { transport } = usePage();
  const [changes, setChanges] = useState(0);
  const [ending, setEnding] = useState<SessionLine | undefined>(undefined);
  const { state, onView } = usePages<SessionLine>(
    `sessions ${user}`,
    async (pageToken, signal) => {
      const request = { user, pageSize: PAGE_SIZE, pageToken };
      const { sessions, nextPageToken } = await createClient(AccessService, transport).listSessions(request, { signal });
      return { items: sessions.map(sessionLine), nextPageToken };
    },
    changes,
  );
  const end: Column<SessionLine> = {
    key: "end",
    head: "Actions",
    isHeadHidden: true,
    cell: (line) => (
      <span class="row-actions">
        {line.isCurrent ? (
          <span class="faint">this browser</span>
        ) : (
          <button type="button" class="quiet" aria-label={`End session ${line.id}`} onClick={() => setEnding(line)}>
            End
          </button>
        )}
      </span>
    ),
  };
  return (
    <section class="stack" aria-labelledby="sessions">
      <h2 id="sessions">Sessions</h2>
      <ViewState
        of={state}
        empty={({ items, hasMore }) => (items.length === 0 && !hasMore ? <Empty title="Nobody is logged in by a browser" /> : undefined)}
      >
        {({ items, hasMore }) => (
          <Table label="Sessions" columns={[...COLUMNS, end]} rows={items} keyOf={({ id }) => id} hasMore={hasMore} onView={onView} />
        )}
      </ViewState>
      <CommandLine line={commandLine(["nebulactl", "sessions", "list", "--user", user])} />
      {ending !== undefined && <EndSession session={ending} close={() => setEnding(undefined)} ended={() => setChanges(changes + 1)} />}
    </section>
  );
}

const COLUMNS: readonly Column<SessionLine>[] = [
  { key: "at", head: "Logged in", cell: ({ at }) => <Age of={at} /> },
  { key: "from", head: "From", cell: ({ from }) => <bdi>{from}</bdi> },
  { key: "with", head: "With", from: "medium", cell: ({ madeWith }) => `a ${madeWith}` },
  { key: "ends", head: "Ends in", from: "medium", cell: ({ endsAt }) => <Left until={endsAt} /> },
  { key: "id", head: "Id", from: "medium", cell: ({ id }) => <code>{id}</code> },
];

function EndSession({ session: { id, user, from }, close, ended }: Readonly<{ session: SessionLine; close: () => void; ended: () => void }>) {
  const { transport } = usePage();
  const apply = async () => {
    await createClient(AccessService, transport).deleteSession({ id });
    ended();
    return "The session has ended.";
  };
  const plan = async () => ({
    text: `The browser at ${from} in which ${user} is logged in has to log in again, within a second.`,
    line: commandLine(["nebulactl", "sessions", "delete", id]),
    apply,
  });
  return <ActionDialog title={`End session ${id}`} verb="End" close={close} plan={plan} />;
}
