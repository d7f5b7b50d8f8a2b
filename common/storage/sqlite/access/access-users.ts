import { NebulaError } from "../../../errors/nebula-error.ts";
import type { StoredUser, StoredUserGroup, UserGroupRecords, UserRecords } from "../../access-store.ts";
import type { WriteOutcome } from "../../config-store.ts";
import { decodeTextPosition, encodePosition } from "../../page.ts";
import { knownOrUnknown } from "../open-database.ts";
import { bigint, bytes, integer, optional, pageOfRows, type Row, text } from "../statements.ts";
import type { AccessDatabase } from "./access-database.ts";

const USER = "u.name, u.revision, u.deleted, u.password_hash, u.token_hash, u.changed_at, u.changed_by";
const GROUP = `g.name, g.revision, g.deleted, g.body, g.changed_at, g.changed_by,
  (SELECT json_group_array(m.user ORDER BY m.user) FROM user_group_member m WHERE m.user_group = g.name) AS members`;

/** Users and user_groups. */
export function createAccessUsers(database: AccessDatabase): UserRecords & UserGroupRecords {
  const { prepare, attempt, change, renewStamp, claim, release } = database;
  const selectUser = prepare(`SELECT ${USER} FROM user u WHERE u.name = ?`);
  const selectUserByToken = prepare(`SELECT ${USER} FROM token t JOIN user u ON u.name = t.owner WHERE t.hash = ? AND t.kind = 'user'`);
  const inOtherCase = (table: "user" | "user_group") =>
    prepare(`SELECT name FROM ${table} WHERE name = ?1 COLLATE NOCASE AND name <> ?1 AND deleted = 0 ORDER BY name LIMIT 10`);
  const [usersInOtherCase, userGroupsInOtherCase] = [inOtherCase("user"), inOtherCase("user_group")];
  const selectUsers = prepare(`SELECT ${USER} FROM user u WHERE u.name > ? AND u.deleted = 0 ORDER BY u.name LIMIT ?`);
  const putUser = prepare(
    "INSERT OR REPLACE INTO user (name, revision, deleted, password_hash, token_hash, changed_at, changed_by) VALUES (?, ?, ?, ?, ?, ?, ?)",
  );
  const putPassword = prepare("UPDATE user SET password_hash = ? WHERE name = ? AND password_hash = ? AND deleted = 0");
  const selectGroup = prepare(`SELECT ${GROUP} FROM user_group g WHERE g.name = ?`);
  const selectGroups = prepare(`SELECT ${GROUP} FROM user_group g WHERE g.name > ? AND g.deleted = 0 ORDER BY g.name LIMIT ?`);
  const selectGroupsOf = prepare(
    `SELECT ${GROUP} FROM user_group_member of JOIN user_group g ON g.name = of.user_group WHERE of.user = ? ORDER BY of.user_group`,
  );
  const putGroup = prepare("INSERT OR REPLACE INTO user_group (name, revision, deleted, body, changed_at, changed_by) VALUES (?, ?, ?, ?, ?, ?)");
  const selectGroupNamesOf = prepare("SELECT user_group FROM user_group_member WHERE user = ? ORDER BY user_group");
  const dropMembers = prepare("DELETE FROM user_group_member WHERE user_group = ?");
  const putMember = prepare("INSERT OR IGNORE INTO user_group_member (user, user_group) VALUES (?, ?)");

  const write = (what: string, work: () => WriteOutcome): WriteOutcome => knownOrUnknown(() => change(what, work));
  const readUser = (name: string) => optional(selectUser.get(name), userOf);

  return {
    async getUser(name) {
      return attempt("read a user", () => readUser(name));
    },

    async userByTokenHash(tokenHash) {
      return attempt("read a user", () => optional(selectUserByToken.get(tokenHash), userOf));
    },

    async usersInOtherCase(name) {
      return attempt("read users", () => usersInOtherCase.all(name).map((row) => text(row, "name")));
    },

    async userGroupsInOtherCase(name) {
      return attempt("read user_groups", () => userGroupsInOtherCase.all(name).map((row) => text(row, "name")));
    },

    async listUsers({ after, limit }) {
      const position = after === undefined ? "" : decodeTextPosition("users", after);
      return attempt("list users", () =>
        pageOfRows(selectUsers.iterate(position, limit + 1), limit, userOf, ({ name }) => encodePosition("users", [name])),
      );
    },

    async writeUser({ expected, ...user }) {
      requireRise("user", user, expected);
      return write("write a user", (): WriteOutcome => {
        const stored = readUser(user.name);
        if (stored !== undefined ? stored.revision !== expected : expected !== 0n) return { kind: "conflict", revision: stored?.revision ?? 0n };
        // a tombstone keeps no credential
        const { passwordHash, tokenHash } = user.deleted ? { passwordHash: "", tokenHash: "" } : user;
        if (stored !== undefined && stored.tokenHash !== tokenHash) release(stored.tokenHash);
        claim(tokenHash, { kind: "user", owner: user.name }); // A3
        putUser.run(user.name, user.revision, user.deleted ? 1 : 0, passwordHash, tokenHash, Math.trunc(user.changedAt), user.changedBy);
        renewStamp(); // A1
        return { kind: "written" };
      });
    },

    async rehashPassword(name, before, after) {
      return change("write a user", () => putPassword.run(after, name, before).changes > 0);
    },

    async getUserGroup(name) {
      return attempt("read a user_group", () => optional(selectGroup.get(name), groupOf));
    },

    async listUserGroups({ after, limit }) {
      const position = after === undefined ? "" : decodeTextPosition("user_groups", after);
      return attempt("list user_groups", () =>
        pageOfRows(selectGroups.iterate(position, limit + 1), limit, groupOf, ({ name }) => encodePosition("user_groups", [name])),
      );
    },

    async writeUserGroup({ expected, ...group }) {
      requireRise("user_group", group, expected);
      return write("write a user_group", (): WriteOutcome => {
        const stored = optional(selectGroup.get(group.name), groupOf)?.revision ?? 0n;
        if (stored !== expected) return { kind: "conflict", revision: stored };
        putGroup.run(group.name, group.revision, group.deleted ? 1 : 0, group.body, Math.trunc(group.changedAt), group.changedBy);
        dropMembers.run(group.name);
        if (!group.deleted) for (const user of group.members) putMember.run(user, group.name);
        renewStamp(); // A1
        return { kind: "written" };
      });
    },

    async groupNamesOf(user) {
      return attempt("read the user_groups of a user", () => selectGroupNamesOf.all(user).map((row) => text(row, "user_group")));
    },

    async groupsOf(user) {
      return attempt("read the user_groups of a user", () => selectGroupsOf.all(user).map(groupOf));
    },
  };
}

/** A2. */
function requireRise(what: string, { name, revision }: { name: string; revision: bigint }, expected: bigint): void {
  if (revision <= expected) throw new NebulaError("internal", `revision ${revision} of ${what} ${name} is not above ${expected}`);
}

function userOf(row: Row): StoredUser {
  return {
    name: text(row, "name"),
    revision: bigint(row, "revision"),
    deleted: bigint(row, "deleted") !== 0n,
    passwordHash: text(row, "password_hash"),
    tokenHash: text(row, "token_hash"),
    changedAt: integer(row, "changed_at"),
    changedBy: text(row, "changed_by"),
  };
}

function groupOf(row: Row): StoredUserGroup {
  const members: unknown = JSON.parse(text(row, "members"));
  if (!Array.isArray(members)) throw new TypeError("the members of a user_group are no list");
  return {
    name: text(row, "name"),
    revision: bigint(row, "revision"),
    deleted: bigint(row, "deleted") !== 0n,
    body: bytes(row, "body"),
    members: members.map(String),
    changedAt: integer(row, "changed_at"),
    changedBy: text(row, "changed_by"),
  };
}
