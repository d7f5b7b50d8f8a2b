import type { Table } from "./table.ts";

/** The partition of users and user_groups, and the key of every list that has one partition. */
export const ACCESS_PART = "access";

/**
 * The tables of the AccessStore. Every write in a partition of `access`, `token_owner`, `device_token` and `enrolment`
 * is a lightweight transaction. Rows of `device_token_group` carry the generation of the device's row as their
 * timestamps.
 */
export const ACCESS_TABLES: readonly Table[] = [
  {
    name: "access",
    columns:
      "part text, kind text, name text, other text, stamp text static, revision bigint, deleted boolean, password_hash text, token_hash text, body blob, members frozen<list<text>>, changed_at bigint, changed_by text, writer text, PRIMARY KEY ((part), kind, name, other)",
    options: "CLUSTERING ORDER BY (kind ASC, name ASC, other ASC)",
    partition: "part: one partition; kind, name, other",
    largest: "10,000 users of 500 bytes, 1,000 user_groups and their members: 20 MB",
    serves:
      "a user, a user_group, the user_groups of a user (kind `member`: user, user_group), spellings of a name (kind `lower_*`), the access stamp",
  },
  {
    name: "token_owner",
    columns: "hash text, kind text, owner text, device_group text, state text, generation int, claim text, PRIMARY KEY ((hash))",
    options: "",
    partition: "hash: one row",
    largest: "1 row",
    serves: "the owner of a token by its hash, in one read; IF NOT EXISTS keeps one owner per hash",
  },
  {
    name: "device_token",
    columns:
      "device_id text, state text, generation int, device_group text, token_hash text, next_hash text, ended_hash text, enrolment_id text, enrolled_at bigint, rotated_at bigint, writer text, PRIMARY KEY ((device_id))",
    options: "",
    partition: "device_id: one row",
    largest: "1 row",
    serves: "the token of a device; a device that was revoked keeps its row, so that its generations rise",
  },
  {
    name: "device_token_group",
    columns: "device_group text, device_id text, PRIMARY KEY ((device_group), device_id)",
    options: "CLUSTERING ORDER BY (device_id ASC)",
    partition: "device_group; device_id",
    largest: "1,000,000 devices of 63 bytes in one group: 80 MB",
    serves: "the list of device tokens, group by group",
  },
  {
    name: "device_token_groups",
    columns: "part text, device_group text, PRIMARY KEY ((part), device_group)",
    options: "CLUSTERING ORDER BY (device_group ASC)",
    partition: "part: one partition; device_group",
    largest: "10,000 device_groups: 1 MB",
    serves: "the groups that the list of device tokens goes through",
  },
  {
    name: "enrolment",
    columns:
      "id text, device_id text, state text static, token_hash text static, device_group text static, uses_left int static, expires_at bigint static, created_at bigint static, created_by text static, writer text static, generation int, PRIMARY KEY ((id), device_id)",
    options: "CLUSTERING ORDER BY (device_id ASC)",
    partition: "id of the enrolment token; admitted device_id",
    largest: "1,000,000 uses: 90 MB",
    serves: "an enrolment token, its uses left and the devices that took one, changed in one transaction",
  },
  {
    name: "enrolment_list",
    columns: "device_group text, created_at bigint, id text, PRIMARY KEY ((device_group), created_at, id)",
    options: "CLUSTERING ORDER BY (created_at DESC, id DESC)",
    partition: "device_group, or `*` for all; created_at, id, newest first",
    largest: "100,000 tokens that are valid at once: 8 MB; each row ends a day after its token",
    serves: "the list of enrolment tokens",
  },
  {
    name: "audit",
    columns: "day int, bucket int, at bigint, number bigint, body blob, PRIMARY KEY ((day, bucket), at, number)",
    options:
      "CLUSTERING ORDER BY (at DESC, number DESC) AND compaction = {'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'DAYS', 'compaction_window_size': 1}",
    partition: "day since 1970, bucket of 8; at, number, newest first",
    largest: "1,000,000 entries of 400 bytes a day: 50 MB; TTL",
    serves: "the audit log by time",
  },
  {
    name: "audit_day",
    columns: "part text, day int, PRIMARY KEY ((part), day)",
    options: "CLUSTERING ORDER BY (day DESC)",
    partition: "part: one partition; day, newest first",
    largest: "one row a day of the retention",
    serves: "the days that have entries in the audit log",
  },
];

/** The tables of sessions. Schema version 3. */
export const SESSION_TABLES: readonly Table[] = [
  {
    name: "session",
    columns: "id text, token_hash text, user text, bound_to text, made_from text, created_at bigint, expires_at bigint, PRIMARY KEY ((id))",
    options: "",
    partition: "id: one row",
    largest: "1 row; it ends an hour after the session",
    serves: "a session, in one read; every write is a lightweight transaction",
  },
  {
    name: "session_list",
    columns: "owner text, created_at bigint, id text, PRIMARY KEY ((owner), created_at, id)",
    options: "CLUSTERING ORDER BY (created_at DESC, id DESC) AND gc_grace_seconds = 3600",
    partition: "user, or `*` for all; created_at, id, newest first",
    largest: "200,000 sessions, 20 of each of 10,000 users: 16 MB; each row ends an hour after the session, its tombstone an hour later",
    serves: "the list of sessions; the oldest sessions of a user",
  },
];
