import { createClient } from "@connectrpc/connect";
import { passwordText, tokenText } from "../../../../../common/insight/text/access-text.ts";
import { printableLine } from "../../../../../common/printable.ts";
import { type GetUserResponse, UserService } from "../../../../../gen/nebula/v1/user_pb.ts";
import { auditAddress } from "../../addresses/audit-filter.ts";
import { userGroupAddress } from "../../addresses/entity-addresses.ts";
import { useReading } from "../../parts/ask-server.ts";
import { CommandLine } from "../../parts/command-line.tsx";
import { commandLine } from "../../parts/format.ts";
import { usePage } from "../../parts/page-context.ts";
import { LastChange, ViewTitle } from "../../parts/values.tsx";
import { ViewState, Warnings } from "../../parts/view-state.tsx";
import type { View } from "../../view.ts";
import { SessionList } from "./session-list.tsx";

/** One user: how it logs in, its user_groups and its sessions. */
export const userView: View = {
  path: "/ui/users/:name",
  title: ({ name = "" }) => printableLine(name),
  body: ({ params: { name = "" } }) => <User key={name} name={name} />,
};

function User({ name }: Readonly<{ name: string }>) {
  const { transport } = usePage();
  const state = useReading(`user ${name}`, (signal) => createClient(UserService, transport).getUser({ name, userGroups: true }, { signal }));
  return (
    <>
      <ViewTitle kind="User" name={name} />
      <ViewState of={state}>
        {(answer) => (
          <>
            <p class="faint">
              Revision <LastChange revision={answer.user?.revision} change={answer.lastChange} />
            </p>
            <Warnings messages={answer.warnings} />
            <Login name={name} answer={answer} />
            <SessionList user={name} />
          </>
        )}
      </ViewState>
    </>
  );
}

function Login({ name, answer: { user, userGroups } }: Readonly<{ name: string; answer: GetUserResponse }>) {
  if (user === undefined) return null;
  return (
    <section class="card" aria-labelledby="login">
      <h2 id="login">Login and rights</h2>
      <dl class="pairs spec">
        <div>
          <dt>Password</dt>
          <dd>{passwordText(user)}</dd>
        </div>
        <div>
          <dt>Token</dt>
          <dd>{tokenText(user)}</dd>
        </div>
        <div>
          <dt>User groups</dt>
          <dd>
            {userGroups.length === 0 ? "none" : null}
            {userGroups.map((group) => (
              <div key={group}>
                <a href={userGroupAddress(group)}>
                  <bdi>{group}</bdi>
                </a>
              </div>
            ))}
          </dd>
        </div>
        <div>
          <dt>Audit log</dt>
          <dd>
            <a href={auditAddress({ user: name })}>what it did</a>, <a href={auditAddress({ kind: "user", name })}>what was changed about it</a>
          </dd>
        </div>
      </dl>
      <CommandLine line={commandLine(["nebulactl", "users", "info", name])} />
    </section>
  );
}
