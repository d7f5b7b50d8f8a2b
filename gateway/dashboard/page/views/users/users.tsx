import { createClient } from "@connectrpc/connect";
import { UserService } from "../../../../../gen/nebula/v1/user_pb.ts";
import { userAddress, userGroupAddress } from "../../addresses/entity-addresses.ts";
import { usePages } from "../../parts/ask-server.ts";
import { CommandLine } from "../../parts/command-line.tsx";
import { commandLine, formatCount } from "../../parts/format.ts";
import { usePage } from "../../parts/page-context.ts";
import { type Column, ListTable } from "../../parts/table.tsx";
import { Age, NameLink } from "../../parts/values.tsx";
import { Empty } from "../../parts/view-state.tsx";
import type { View } from "../../view.ts";
import { type UserLine, userLines } from "./user-model.ts";

const PAGE_SIZE = 100;

/** The list of users. */
export const usersView: View = { path: "/ui/users", title: () => "Users", navigation: "Users", isForAdmins: true, body: () => <Users /> };

function Users() {
  const { transport } = usePage();
  const list = usePages<UserLine>("users", async (pageToken, signal) => {
    const page = await createClient(UserService, transport).listUsers({ pageSize: PAGE_SIZE, pageToken, memberships: true }, { signal });
    return { items: userLines(page), nextPageToken: page.nextPageToken };
  });
  return (
    <>
      <h1 tabIndex={-1}>Users</h1>
      <CommandLine line={commandLine(["nebulactl", "users", "list"])} />
      <ListTable list={list} label="Users" columns={COLUMNS} keyOf={({ name }) => name} one="user" none={<NoUsers />} />
    </>
  );
}

function NoUsers() {
  return (
    <Empty title="There are no users yet">
      <p>The admin of the configuration, who is in no list, may do everything. Others get a login of their own, and their rights by a user_group:</p>
      <CommandLine line={commandLine(["nebulactl", "users", "create", "NAME"])} label="First" />
    </Empty>
  );
}

const COLUMNS: readonly Column<UserLine>[] = [
  {
    key: "name",
    head: "User",
    cell: ({ name }) => <NameLink name={name} to={userAddress(name)} />,
  },
  { key: "groups", head: "User groups", cell: (line) => <Memberships line={line} /> },
  { key: "password", head: "Password", from: "medium", cell: ({ password }) => password },
  { key: "token", head: "Token", from: "medium", cell: ({ token }) => token },
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

function Memberships({ line: { name, groups, more } }: Readonly<{ line: UserLine }>) {
  if (groups.length === 0) {
    return (
      <span class="state-failed" title="It may log in, and see lists without entries">
        none
      </span>
    );
  }
  return (
    <>
      {groups.map((group, index) => (
        <span key={group}>
          {index > 0 && ", "}
          <a href={userGroupAddress(group)}>
            <bdi>{group}</bdi>
          </a>
        </span>
      ))}
      {more > 0 && (
        <>
          {", "}
          <a href={userAddress(name)}>{formatCount(more)} more</a>
        </>
      )}
    </>
  );
}
