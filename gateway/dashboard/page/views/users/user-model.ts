/** The part of the API's answers that the views of users and of sessions show. Pure. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { passwordText, tokenText } from "../../../../../common/insight/text/access-text.ts";
import { printableLine } from "../../../../../common/printable.ts";
import { type Session, SessionCredential } from "../../../../../gen/nebula/v1/access_pb.ts";
import type { ListUsersResponse } from "../../../../../gen/nebula/v1/user_pb.ts";

export type UserLine = Readonly<{
  name: string;
  revision: bigint;
  /** none, argon2id or bcrypt. */
  password: string;
  /** none or yes. */
  token: string;
  /** The first ones of its user_groups. */
  groups: readonly string[];
  /** How many more there are. */
  more: number;
  by: string;
  at: number | undefined;
}>;

export function userLines({ users, memberships, lastChanges }: ListUsersResponse): readonly UserLine[] {
  return users.map((user, index) => {
    const { userGroups = [], count = 0 } = memberships[index] ?? {};
    const groups = userGroups.slice(0, SHOWN_GROUPS);
    const { at, by = "" } = lastChanges[index] ?? {};
    return {
      name: user.name,
      revision: user.revision,
      password: passwordText(user),
      token: tokenText(user),
      groups,
      more: count - groups.length,
      by: printableLine(by),
      at: at === undefined ? undefined : timestampMs(at),
    };
  });
}

/** The user_groups that a line names. */
const SHOWN_GROUPS = 3;

export type SessionLine = Readonly<{
  id: string;
  user: string;
  /** password or token. */
  madeWith: string;
  from: string;
  at: number | undefined;
  endsAt: number | undefined;
  /** Whether this browser has it. */
  isCurrent: boolean;
}>;

export function sessionLine({ id, user, madeWith, madeFrom, createdAt, expiresAt, current }: Session): SessionLine {
  return {
    id,
    user,
    madeWith: madeWith === SessionCredential.TOKEN ? "token" : "password",
    from: printableLine(madeFrom),
    at: createdAt === undefined ? undefined : timestampMs(createdAt),
    endsAt: expiresAt === undefined ? undefined : timestampMs(expiresAt),
    isCurrent: current,
  };
}
