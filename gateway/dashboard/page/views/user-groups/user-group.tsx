import { createClient } from "@connectrpc/connect";
import { printableLine } from "../../../../../common/printable.ts";
import { type UserGroup as Group, UserGroupService } from "../../../../../gen/nebula/v1/user_group_pb.ts";
import { auditAddress } from "../../addresses/audit-filter.ts";
import { userAddress } from "../../addresses/entity-addresses.ts";
import { useReading } from "../../parts/ask-server.ts";
import { CommandLine } from "../../parts/command-line.tsx";
import { commandLine } from "../../parts/format.ts";
import { usePage } from "../../parts/page-context.ts";
import { type Column, Table } from "../../parts/table.tsx";
import { LastChange, ListedCount, NameLink, ViewTitle } from "../../parts/values.tsx";
import { Empty, ViewState, Warnings } from "../../parts/view-state.tsx";
import type { View } from "../../view.ts";
import { rightsOf } from "./user-group-model.ts";

/** One user_group: what it grants, and to whom. */
export const userGroupView: View = {
  path: "/ui/user-groups/:name",
  title: ({ name = "" }) => printableLine(name),
  body: ({ params: { name = "" } }) => <UserGroup key={name} name={name} />,
};

function UserGroup({ name }: Readonly<{ name: string }>) {
  const { transport } = usePage();
  const state = useReading(`user_group ${name}`, (signal) =>
    createClient(UserGroupService, transport).getUserGroup({ name, warnings: true }, { signal }),
  );
  return (
    <>
      <ViewTitle kind="User group" name={name} />
      <ViewState of={state}>
        {({ userGroup, lastChange, warnings }) => (
          <>
            <p class="faint">
              Revision <LastChange revision={userGroup?.revision} change={lastChange} /> ·{" "}
              <a href={auditAddress({ kind: "user_group", name })}>its changes in the audit log</a>
            </p>
            <Warnings messages={warnings} />
            {userGroup !== undefined && (
              <>
                <Rights group={userGroup} />
                <Members group={userGroup} />
              </>
            )}
          </>
        )}
      </ViewState>
    </>
  );
}

function Rights({ group }: Readonly<{ group: Group }>) {
  const rights = rightsOf(group);
  return (
    <section class="card" aria-labelledby="rights">
      <h2 id="rights">What its members may do</h2>
      {rights.length === 0 ? (
        <p>Nothing.</p>
      ) : (
        <dl class="pairs spec">
          {rights.map(({ verb, kind, names }) => (
            <div key={`${verb} ${kind}`}>
              <dt>
                {verb} {kind}
              </dt>
              <dd>
                {names.map((name) => (
                  <div key={name}>
                    <bdi>{name}</bdi>
                  </div>
                ))}
              </dd>
            </div>
          ))}
        </dl>
      )}
      <CommandLine line={commandLine(["nebulactl", "user-groups", "info", group.name])} />
    </section>
  );
}

const MEMBERS: readonly Column<string>[] = [
  {
    key: "name",
    head: "User",
    cell: (name) => <NameLink name={name} to={userAddress(name)} />,
  },
];

function Members({ group }: Readonly<{ group: Group }>) {
  const { name, groupMembers } = group;
  return (
    <section class="stack" aria-labelledby="members">
      <h2 id="members">Its members</h2>
      {groupMembers.length === 0 ? (
        <Empty title="It has no members: it grants nothing to anybody">
          <CommandLine line={commandLine(["nebulactl", "user-groups", "update", name, "--group-members", "USER"])} label="Give it one" />
        </Empty>
      ) : (
        <>
          <ListedCount count={groupMembers.length} hasMore={false} one="member" />
          <Table label="Members" columns={MEMBERS} rows={groupMembers} keyOf={(member) => member} />
        </>
      )}
    </section>
  );
}
