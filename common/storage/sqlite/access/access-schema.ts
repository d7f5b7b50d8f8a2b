/**
 * Schema of the access store, a version an entry; entries are only ever added. Times are milliseconds since 1970, hashes 64 hexadecimal digits.
 */
export const ACCESS_MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE stamp (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    value TEXT NOT NULL
  ) STRICT;

  -- every hash of a token that is or may come into use, so that it has one owner, of any kind (A3)
  CREATE TABLE token (
    hash TEXT PRIMARY KEY,
    kind TEXT NOT NULL, -- user, device or enrolment
    owner TEXT NOT NULL -- a user's name, a device_id, an enrolment token's id
  ) STRICT, WITHOUT ROWID;

  -- every name ever used, at its newest revision; a deleted one is a tombstone
  CREATE TABLE user (
    name TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    password_hash TEXT NOT NULL,
    token_hash TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL
  ) STRICT;
  CREATE TABLE user_group (
    name TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    body BLOB NOT NULL, -- the encoded UserGroup
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL
  ) STRICT;
  CREATE TABLE user_group_member (
    user TEXT NOT NULL,
    user_group TEXT NOT NULL,
    PRIMARY KEY (user, user_group)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX user_group_member_by_group ON user_group_member (user_group);

  CREATE TABLE enrolment (
    id TEXT PRIMARY KEY,
    token_hash TEXT NOT NULL,
    device_group TEXT NOT NULL,
    uses_left INTEGER NOT NULL CHECK (uses_left >= 0),
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL
  ) STRICT;
  CREATE INDEX enrolment_by_time ON enrolment (created_at, id);
  CREATE INDEX enrolment_by_group ON enrolment (device_group, created_at, id);

  CREATE TABLE device (
    device_id TEXT PRIMARY KEY,
    device_group TEXT NOT NULL,
    token_hash TEXT NOT NULL,
    next_hash TEXT NOT NULL,
    enrolment_id TEXT NOT NULL,
    enrolled_at INTEGER NOT NULL,
    rotated_at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX device_by_group ON device (device_group, device_id);

  -- the log's order is (at, number); AUTOINCREMENT: a number is not given again when its entry has expired
  CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    outcome TEXT NOT NULL,
    body BLOB NOT NULL -- the encoded AuditEntry, without its id
  ) STRICT;
  CREATE INDEX audit_by_time ON audit (at, number);
  CREATE INDEX audit_by_who ON audit (who, at, number);
  CREATE INDEX audit_by_kind ON audit (kind, at, number);
  CREATE INDEX audit_by_name ON audit (name, at, number);
  CREATE INDEX audit_by_outcome ON audit (outcome, at, number);
  `,
  `
  CREATE INDEX user_in_any_case ON user (name COLLATE NOCASE);
  CREATE INDEX user_group_in_any_case ON user_group (name COLLATE NOCASE);
  `,
  `
  CREATE TABLE session (
    id TEXT PRIMARY KEY,
    token_hash TEXT NOT NULL,
    user TEXT NOT NULL,
    bound_to TEXT NOT NULL, -- the credential that it ends with
    made_from TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX session_by_time ON session (created_at, id);
  CREATE INDEX session_by_user ON session (user, created_at, id);
  CREATE INDEX session_by_end ON session (expires_at);
  `,
];
