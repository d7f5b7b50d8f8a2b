/**
 * Users, user_groups and members: one partition, so that a change of a record, of its members and of the access stamp
 * is one conditional batch (A1, A2).
 *
 * U1 The hash of a user's token is claimed before the record is written, and released after the record has another: a
 *    hash counts for the user whose record holds it, and for no other (A3).
 */
import { NebulaError } from "../../../errors/nebula-error.ts";
import type { StoredUser, StoredUserGroup, UserGroupRecords, UserGroupWrite, UserRecords, UserWrite } from "../../access-store.ts";
import type { WriteOutcome } from "../../config-store.ts";
import type { Page } from "../../page.ts";
import { decodeTextPosition, encodePosition } from "../../page.ts";
import { pagesOf, type Query } from "../connection/client.ts";
import { bigint, bool, bytes, integer, isNull, type Row, text } from "../connection/rows.ts";
import { ACCESS_PART } from "../schema/access-tables.ts";
import { type AccessPartition, newWriter, type ReadKind, tokenTaken } from "./access-partition.ts";

type Kind = "user" | "user_group";
type Signal = AbortSignal | undefined;
type Stored<Fields> = Fields & Readonly<{ writer: string }>;

const USER = "name, revision, deleted, password_hash, token_hash, changed_at, changed_by, writer";
const GROUP = "name, revision, deleted, body, members, changed_at, changed_by, writer";
const AT = "part = ? AND kind = ? AND name = ? AND other = ?";
const SELECT = { user: `SELECT ${USER} FROM access WHERE ${AT}`, user_group: `SELECT ${GROUP} FROM access WHERE ${AT}` } as const;
const LIST = {
  user: `SELECT ${USER} FROM access WHERE part = ? AND kind = ? AND name > ?`,
  user_group: `SELECT ${GROUP} FROM access WHERE part = ? AND kind = ? AND name > ?`,
} as const;
const PUT_USER = `UPDATE access SET revision = ?, deleted = ?, password_hash = ?, token_hash = ?, changed_at = ?, changed_by = ?, writer = ? WHERE ${AT} IF revision = ?`;
const PUT_GROUP = `UPDATE access SET revision = ?, deleted = ?, body = ?, members = ?, changed_at = ?, changed_by = ?, writer = ? WHERE ${AT} IF revision = ?`;
const PUT_STAMP = "UPDATE access SET stamp = ? WHERE part = ?";
const PUT_PASSWORD = `UPDATE access SET password_hash = ? WHERE ${AT} IF password_hash = ?`;
const PUT_OTHER = "INSERT INTO access (part, kind, name, other) VALUES (?, ?, ?, ?)";
const DROP_OTHER = `DELETE FROM access WHERE ${AT}`;
const SELECT_OTHERS = "SELECT other FROM access WHERE part = ? AND kind = ? AND name = ?";
const SELECT_GROUPS = `SELECT ${GROUP} FROM access WHERE part = ? AND kind = ? AND name IN ?`;

/** Spellings that are answered. */
const MOST_SPELLINGS = 10;

export function createAccessRecords(partition: AccessPartition): UserRecords & UserGroupRecords {
  const at = (kind: string, name: string, other = "") => [ACCESS_PART, kind, name, other];
  const read = (query: Query, kind: ReadKind, signal: Signal) => partition.rows("access", query, kind, signal);

  async function readUser(name: string, kind: ReadKind, signal: Signal): Promise<Stored<StoredUser> | undefined> {
    const [row] = await read({ cql: SELECT.user, params: at("user", name) }, kind, signal);
    return row === undefined ? undefined : userOf(row);
  }

  async function readGroup(name: string, kind: ReadKind, signal: Signal): Promise<Stored<StoredUserGroup> | undefined> {
    const [row] = await read({ cql: SELECT.user_group, params: at("user_group", name) }, kind, signal);
    return row === undefined ? undefined : groupOf(row);
  }

  /** The stored record, read again at SERIAL where it is not at the revision that is expected: a write may hang. */
  async function atRevision<T extends { revision: bigint }>(
    readRecord: (kind: ReadKind) => Promise<T | undefined>,
    expected: bigint,
  ): Promise<T | undefined> {
    const found = await readRecord("read");
    return (found?.revision ?? 0n) === expected ? found : readRecord("serial_read");
  }

  async function inOtherCase(kind: Kind, name: string, signal: Signal): Promise<readonly string[]> {
    const rows = await read({ cql: SELECT_OTHERS, params: [ACCESS_PART, `lower_${kind}`, name.toLowerCase()] }, "read", signal);
    const names = rows.map((row) => text(row, "other")).filter((other) => other !== name);
    return names.sort().slice(0, MOST_SPELLINGS);
  }

  async function list<T extends { name: string; deleted: boolean }>(
    kind: Kind,
    page: Readonly<{ after?: string; limit: number }>,
    itemOf: (row: Row) => T,
    signal: Signal,
  ): Promise<Page<T>> {
    const name = `${kind}s`;
    const items: T[] = [];
    const query = { cql: LIST[kind], params: [ACCESS_PART, kind, page.after === undefined ? "" : decodeTextPosition(name, page.after)] };
    for await (const rows of pagesOf(partition.client, query, { table: "access", kind: "read", fetchSize: page.limit + 1, signal })) {
      for (const row of rows) {
        const item = itemOf(row);
        if (item.deleted) continue;
        const last = items.at(-1);
        if (items.length === page.limit && last !== undefined) return { items, next: encodePosition(name, [last.name]) };
        items.push(item);
      }
    }
    return { items, next: undefined };
  }

  async function groupNamesOf(user: string, signal: Signal): Promise<readonly string[]> {
    const rows = await read({ cql: SELECT_OTHERS, params: [ACCESS_PART, "member", user] }, "read", signal);
    return rows.map((row) => text(row, "other"));
  }

  /** The rows beside a record that a write of it changes, and the stamp. */
  function besides(kind: Kind, { name, deleted }: { name: string; deleted: boolean }, members: readonly Query[]): readonly Query[] {
    return [
      { cql: PUT_STAMP, params: [newWriter(), ACCESS_PART] }, // A1
      { cql: deleted ? DROP_OTHER : PUT_OTHER, params: at(`lower_${kind}`, name.toLowerCase(), name) },
      ...members,
    ];
  }

  /** Writes a record in one batch, and settles what comes of it (A2). */
  async function put(
    record: Readonly<{ revision: bigint; writer: string }>,
    queries: readonly Query[],
    readAgain: () => Promise<Stored<{ revision: bigint }> | undefined>,
    signal: Signal,
  ): Promise<WriteOutcome> {
    const isMine = async () => {
      const found = await readAgain();
      if (found === undefined || found.revision < record.revision) return false;
      return found.revision === record.revision ? found.writer === record.writer : undefined; // the record has no history
    };
    const change = await partition.change("access", queries, isMine, signal);
    switch (change) {
      case "applied":
        return { kind: "written" };
      case "unknown":
        return { kind: "unknown" };
      case "refused":
        return { kind: "conflict", revision: (await readAgain())?.revision ?? 0n };
    }
  }

  async function writeUser({ expected, ...user }: UserWrite, signal: Signal): Promise<WriteOutcome> {
    const { name, revision, deleted } = user;
    requireRise("user", user, expected);
    const stored = await atRevision((kind) => readUser(name, kind, signal), expected);
    if ((stored?.revision ?? 0n) !== expected) return { kind: "conflict", revision: stored?.revision ?? 0n };
    const { passwordHash, tokenHash } = deleted ? { passwordHash: "", tokenHash: "" } : user; // a tombstone keeps no credential
    const before = stored?.tokenHash ?? "";
    let claim: string | undefined;
    if (tokenHash !== "" && tokenHash !== before) {
      const claimed = await partition.claim(tokenHash, { kind: "user", owner: name, deviceGroup: "", state: "new", generation: 0 }, signal); // U1
      if (claimed.kind === "unknown") return { kind: "unknown" };
      if (claimed.kind === "taken") throw tokenTaken();
      claim = claimed.claim;
    }
    const ending = before === tokenHash ? undefined : await partition.token(before, "read", signal);
    const writer = newWriter();
    const values = [revision, deleted, passwordHash, tokenHash, BigInt(Math.trunc(user.changedAt)), user.changedBy, writer];
    const queries = [{ cql: PUT_USER, params: [...values, ...at("user", name), expected === 0n ? null : expected] }, ...besides("user", user, [])];
    const outcome = await put({ revision, writer }, queries, () => readUser(name, "serial_read", signal), signal);
    if (outcome.kind === "written" && ending !== undefined && isOf(ending, name)) await partition.release(before, ending.claim, signal);
    if (outcome.kind === "conflict" && claim !== undefined && (await readUser(name, "serial_read", signal))?.tokenHash !== tokenHash) {
      await partition.release(tokenHash, claim, signal);
    }
    return outcome;
  }

  async function writeUserGroup({ expected, ...group }: UserGroupWrite, signal: Signal): Promise<WriteOutcome> {
    const { name, revision, deleted } = group;
    requireRise("user_group", group, expected);
    const stored = await atRevision((kind) => readGroup(name, kind, signal), expected);
    if ((stored?.revision ?? 0n) !== expected) return { kind: "conflict", revision: stored?.revision ?? 0n };
    const members = deleted ? [] : [...new Set(group.members)].sort();
    const [before, after] = [new Set(stored?.members), new Set(members)];
    const memberRows = [
      ...[...before].filter((user) => !after.has(user)).map((user) => ({ cql: DROP_OTHER, params: at("member", user, name) })),
      ...[...after].filter((user) => !before.has(user)).map((user) => ({ cql: PUT_OTHER, params: at("member", user, name) })),
    ];
    const writer = newWriter();
    const values = [revision, deleted, Buffer.from(group.body), members, BigInt(Math.trunc(group.changedAt)), group.changedBy, writer];
    const queries = [
      { cql: PUT_GROUP, params: [...values, ...at("user_group", name), expected === 0n ? null : expected] },
      ...besides("user_group", group, memberRows),
    ];
    return put({ revision, writer }, queries, () => readGroup(name, "serial_read", signal), signal);
  }

  return {
    async getUser(name, signal) {
      return withoutWriter(await readUser(name, "read", signal));
    },

    async userByTokenHash(tokenHash, signal) {
      const token = await partition.token(tokenHash, "read", signal);
      if (token?.kind !== "user") return undefined;
      const user = withoutWriter(await readUser(token.owner, "read", signal));
      return user?.tokenHash === tokenHash ? user : undefined; // U1
    },

    usersInOtherCase: (name, signal) => inOtherCase("user", name, signal),
    userGroupsInOtherCase: (name, signal) => inOtherCase("user_group", name, signal),
    listUsers: (page, signal) => list("user", page, (row) => omitWriter(userOf(row)), signal),
    listUserGroups: (page, signal) => list("user_group", page, (row) => omitWriter(groupOf(row)), signal),
    writeUser,

    async rehashPassword(name, before, after, signal) {
      const isMine = async () => (await readUser(name, "serial_read", signal))?.passwordHash === after;
      if (before === "") return false;
      return (await partition.change("access", [{ cql: PUT_PASSWORD, params: [after, ...at("user", name), before] }], isMine, signal)) === "applied";
    },

    async getUserGroup(name, signal) {
      return withoutWriter(await readGroup(name, "read", signal));
    },

    writeUserGroup,

    groupNamesOf,

    async groupsOf(user, signal) {
      const names = await groupNamesOf(user, signal);
      if (names.length === 0) return [];
      const groups = await read({ cql: SELECT_GROUPS, params: [ACCESS_PART, "user_group", names] }, "read", signal);
      // the rows were read one after the other: the group itself says who is in it
      return groups.map((row) => omitWriter(groupOf(row))).filter(({ deleted, members }) => !deleted && members.includes(user));
    },
  };
}

/** A2. */
function requireRise(what: string, { name, revision }: { name: string; revision: bigint }, expected: bigint): void {
  if (revision <= expected) throw new NebulaError("internal", `revision ${revision} of ${what} ${name} is not above ${expected}`);
}

function isOf(token: Readonly<{ kind: string; owner: string }>, user: string): boolean {
  return token.kind === "user" && token.owner === user;
}

function omitWriter<T>({ writer: _, ...record }: Stored<T>): Omit<Stored<T>, "writer"> {
  return record;
}

function withoutWriter<T>(record: Stored<T> | undefined): Omit<Stored<T>, "writer"> | undefined {
  return record === undefined ? undefined : omitWriter(record);
}

function userOf(row: Row): Stored<StoredUser> {
  return {
    name: text(row, "name"),
    revision: bigint(row, "revision"),
    deleted: bool(row, "deleted"),
    passwordHash: text(row, "password_hash"),
    tokenHash: text(row, "token_hash"),
    changedAt: integer(row, "changed_at"),
    changedBy: text(row, "changed_by"),
    writer: text(row, "writer"),
  };
}

function groupOf(row: Row): Stored<StoredUserGroup> {
  return {
    name: text(row, "name"),
    revision: bigint(row, "revision"),
    deleted: bool(row, "deleted"),
    body: bytes(row, "body"),
    members: isNull(row, "members") || !Array.isArray(row.members) ? [] : row.members.map(String), // an empty list is stored as none
    changedAt: integer(row, "changed_at"),
    changedBy: text(row, "changed_by"),
    writer: text(row, "writer"),
  };
}
