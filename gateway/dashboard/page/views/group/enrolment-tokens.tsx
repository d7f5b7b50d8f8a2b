import { createClient } from "@connectrpc/connect";
import { useState } from "preact/hooks";
import { printableLine } from "../../../../../common/printable.ts";
import { AccessService } from "../../../../../gen/nebula/v1/access_pb.ts";
import { ActionDialog, type ActionPlan } from "../../parts/action-dialog.tsx";
import { usePages } from "../../parts/ask-server.ts";
import { CommandLine } from "../../parts/command-line.tsx";
import { commandLine, formatCount } from "../../parts/format.ts";
import { usePage } from "../../parts/page-context.ts";
import { type Column, Table } from "../../parts/table.tsx";
import { Age, Left } from "../../parts/values.tsx";
import { ViewState } from "../../parts/view-state.tsx";
import { type EnrolmentRow, enrolmentRow } from "./enrolment-model.ts";

const PAGE_SIZE = 50;

type Props = Readonly<{
  deviceGroup: string;
  /** Another number reads at once. */
  changes: number;
  changed: () => void;
}>;

/** The valid enrolment tokens of a device_group, for those who may change it. */
export function EnrolmentTokens({ deviceGroup, changes, changed }: Props) {
  const { transport } = usePage();
  const [revoked, setRevoked] = useState<string | undefined>(undefined);
  const { state, onView } = usePages<EnrolmentRow>(
    `enrolments ${deviceGroup}`,
    async (pageToken, signal) => {
      const request = { deviceGroup, pageSize: PAGE_SIZE, pageToken };
      const { enrolmentTokens, nextPageToken } = await createClient(AccessService, transport).listEnrolmentTokens(request, { signal });
      return { items: enrolmentTokens.map(enrolmentRow), nextPageToken };
    },
    changes,
  );
  const columns: readonly Column<EnrolmentRow>[] = [
    ...COLUMNS,
    {
      key: "more",
      head: "",
      cell: ({ id }) => (
        <span class="row-actions">
          <button type="button" class="quiet" aria-label={`Revoke ${id}`} onClick={() => setRevoked(id)}>
            Revoke
          </button>
        </span>
      ),
    },
  ];
  return (
    <section class="stack" aria-labelledby="enrolments">
      <h2 id="enrolments">Enrolment tokens</h2>
      <ViewState
        of={state}
        empty={({ items }) => (items.length === 0 ? <p class="faint">No enrolment token of this group is valid now.</p> : undefined)}
      >
        {({ items, hasMore }) => (
          <Table label="Enrolment tokens" columns={columns} rows={items} keyOf={({ id }) => id} hasMore={hasMore} onView={onView} />
        )}
      </ViewState>
      <CommandLine line={commandLine(["nebulactl", "devices", "enrolments", "--device-group", deviceGroup])} />
      {revoked !== undefined && (
        <ActionDialog
          title={`Revoke enrolment token ${revoked}`}
          verb="Revoke"
          isDangerous={true}
          plan={async () => revocation(revoked)}
          close={() => setRevoked(undefined)}
        />
      )}
    </section>
  );

  function revocation(id: string): ActionPlan {
    return {
      text: "No further device enrols with it. Devices that enrolled with it stay.",
      line: commandLine(["nebulactl", "devices", "revoke-enrolment", id]),
      async apply() {
        await createClient(AccessService, transport).revokeEnrolmentToken({ id });
        changed();
        return `Enrolment token ${id} is revoked.`;
      },
    };
  }
}

const COLUMNS: readonly Column<EnrolmentRow>[] = [
  { key: "id", head: "Token", cell: ({ id }) => <code>{id}</code> },
  { key: "uses", head: "Devices left", isNumber: true, cell: ({ usesLeft }) => <span class="number">{formatCount(usesLeft)}</span> },
  { key: "expires", head: "Expires in", from: "medium", isNumber: true, cell: ({ expiresAt }) => <Left until={expiresAt} /> },
  { key: "made", head: "Made", from: "wide", cell: ({ madeAt }) => <Age of={madeAt} /> },
  { key: "by", head: "By", from: "medium", cell: ({ by }) => printableLine(by) },
];
