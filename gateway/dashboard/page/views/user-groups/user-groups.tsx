import { createClient } from "@connectrpc/connect";
import { UserGroupService } from "../../../../../gen/nebula/v1/user_group_pb.ts";
import { userGroupAddress } from "../../addresses/entity-addresses.ts";
import { usePages } from "../../parts/ask-server.ts";
import { CommandLine } from "../../parts/command-line.tsx";
import { commandLine, formatCount } from "../../parts/format.ts";
import { usePage } from "../../parts/page-context.ts";
import { type Column, ListTable } from "../../parts/table.tsx";
import { Age, NameLink } from "../../parts/values.tsx";
import { Empty } from "../../parts/view-state.tsx";
import type { View } from "../../view.ts";
import { type UserGroupLine, userGroupLines } from "./user-group-model.ts";

const PAGE_SIZE = 100;

/** The list of user_groups. */
export const userGroupsView: View = {
  path: "/ui/user-groups",
  title: () => "User groups",
  navigation: "User groups",
  isForAdmins: true,
  body: () => <UserGroups />,
};

function UserGroups() {
  const { transport } = usePage();
  const list = usePages<UserGroupLine>("user_groups", async (pageToken, signal) => {
    const page = await createClient(UserGroupService, transport).listUserGroups({ pageSize: PAGE_SIZE, pageToken }, { signal });
    return { items: userGroupLines(page), nextPageToken: page.nextPageToken };
  });
  return (
    <>
      <h1 tabIndex={-1}>User groups</h1>
      <CommandLine line={commandLine(["nebulactl", "user-groups", "list"])} />
      <ListTable list={list} label="User groups" columns={COLUMNS} keyOf={({ name }) => name} one="user group" none={<NoUserGroups />} />
    </>
  );
}

function NoUserGroups() {
  return (
    <Empty title="There are no user groups yet">
      <p>A user may do what its user groups grant, and nothing without one. One that may change all apps, and read all device groups:</p>
      <CommandLine
        line={commandLine(["nebulactl", "user-groups", "create", "NAME", "--group-members", "USER", "--apps", "*:rw", "--device-groups", "*:ro"])}
        label="First"
      />
    </Empty>
  );
}

const COLUMNS: readonly Column<UserGroupLine>[] = [
  {
    key: "name",
    head: "User group",
    cell: ({ name }) => <NameLink name={name} to={userGroupAddress(name)} />,
  },
  { key: "members", head: "Members", isNumber: true, cell: ({ members }) => <span class="number">{formatCount(members)}</span> },
  { key: "rights", head: "May", from: "medium", cell: ({ rights }) => <span title={rights}>{rights}</span> },
  { key: "revision", head: "Revision", from: "wide", isNumber: true, cell: ({ revision }) => formatCount(revision) },
  {
    key: "changed",
    head: "Changed",
    from: "medium",
    cell: ({ at, by }) => (
      <>
        <Age of={at} /> <span class="faint">by {by}</span>
      </>
    ),
  },
];
