/**
 * Schema of the config store, a version an entry; entries are only ever added.
 * Tables with a body have a rowid: WITHOUT ROWID would put bodies of up to 64 KiB among the keys, and reading a revision or trimming the history would read
 * through them.
 */
export const CONFIG_MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE cluster (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    id TEXT NOT NULL,
    epoch INTEGER NOT NULL
  ) STRICT;
  -- every name ever used, at its newest revision; a deleted one is a tombstone
  CREATE TABLE entity (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    body BLOB NOT NULL,
    action TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL,
    PRIMARY KEY (kind, name)
  ) STRICT;
  CREATE TABLE history (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    body BLOB NOT NULL,
    action TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL,
    PRIMARY KEY (kind, name, revision)
  ) STRICT;
  -- which device_groups name an app or a cron_job
  CREATE TABLE member (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    device_group TEXT NOT NULL,
    PRIMARY KEY (kind, name, device_group)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX member_by_group ON member (device_group);
  `,
  "CREATE INDEX entity_in_any_case ON entity (kind, name COLLATE NOCASE)",
];
