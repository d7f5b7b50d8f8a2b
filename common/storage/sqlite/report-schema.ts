/**
 * The schema of reports.db, one migration a version. `number` orders reports that were received in the same millisecond; each filter of a list has an
 * index in the list's order, so that a page costs its own rows and no more.
 */
export const REPORT_MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE reports (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    received_at INTEGER NOT NULL, -- milliseconds since 1970
    device_id TEXT NOT NULL,
    device_group TEXT NOT NULL,
    state INTEGER NOT NULL,
    body BLOB NOT NULL -- the encoded Report
  ) STRICT;
  CREATE INDEX reports_by_time ON reports (received_at, number);
  CREATE INDEX reports_by_state ON reports (state, received_at, number);
  CREATE INDEX reports_by_group ON reports (device_group, received_at, number);
  CREATE INDEX reports_by_group_and_state ON reports (device_group, state, received_at, number);
  CREATE INDEX reports_by_device ON reports (device_id, received_at, number);

  CREATE TABLE devices (
    device_id TEXT PRIMARY KEY,
    device_group TEXT NOT NULL,
    state INTEGER NOT NULL,
    written_at INTEGER NOT NULL, -- version of the row, microseconds since 1970
    body BLOB NOT NULL -- the encoded Device
  ) STRICT;
  CREATE INDEX devices_by_group ON devices (device_group, device_id);
  CREATE INDEX devices_by_state ON devices (state, device_group, device_id);
  `,
  `
  ALTER TABLE reports ADD COLUMN original TEXT NOT NULL DEFAULT ''; -- JSON of a worker of the original, env values blanked
  ALTER TABLE reports ADD COLUMN updated INTEGER NOT NULL DEFAULT 0;
  `,
  `
  ALTER TABLE devices ADD COLUMN without_token INTEGER NOT NULL DEFAULT 0; -- 1: the row expires
  CREATE INDEX devices_without_token_by_group ON devices (device_group) WHERE without_token = 1;
  CREATE INDEX devices_without_token_by_time ON devices (written_at) WHERE without_token = 1;

  -- what the history holds of each device, kept by the triggers
  CREATE TABLE history (
    device_id TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  INSERT INTO history SELECT device_id, sum(octet_length(body) + octet_length(original)) FROM reports GROUP BY device_id;
  CREATE TRIGGER history_grows AFTER INSERT ON reports BEGIN
    INSERT INTO history (device_id, bytes) VALUES (new.device_id, octet_length(new.body) + octet_length(new.original))
    ON CONFLICT (device_id) DO UPDATE SET bytes = bytes + excluded.bytes;
  END;
  CREATE TRIGGER history_shrinks AFTER DELETE ON reports BEGIN
    UPDATE history SET bytes = bytes - octet_length(old.body) - octet_length(old.original) WHERE device_id = old.device_id;
    DELETE FROM history WHERE device_id = old.device_id AND bytes <= 0;
  END;
  `,
];
