/**
 * The schema of reports.db, one migration a version. Reports are listed by id, which begins with the time at which they were received; each filter of a
 * list has an index in the list's order, so that a page costs its own rows and no more.
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
  // Ids used to hold seconds (8 digits) and a hash (16): now seconds (8), milliseconds (4) and a hash (12), which keeps the order by time.
  `
  DROP INDEX reports_by_time;
  DROP INDEX reports_by_state;
  DROP INDEX reports_by_group;
  DROP INDEX reports_by_group_and_state;
  DROP INDEX reports_by_device;
  UPDATE OR IGNORE reports SET id = printf('%08x%04x%s', received_at / 1000, received_at % 1000, substr(id, 9, 12));
  ALTER TABLE reports DROP COLUMN received_at;
  CREATE INDEX reports_by_state ON reports (state, id);
  CREATE INDEX reports_by_group ON reports (device_group, id);
  CREATE INDEX reports_by_group_and_state ON reports (device_group, state, id);
  CREATE INDEX reports_by_device ON reports (device_id, id);

  -- what is left of a deleted device, for as long as reports are kept
  CREATE TABLE deleted_devices (
    device_id TEXT PRIMARY KEY,
    written_at INTEGER NOT NULL, -- version of the row, microseconds since 1970
    body BLOB NOT NULL -- the encoded Device: its boots and their newest seq
  ) STRICT;
  CREATE INDEX deleted_devices_by_time ON deleted_devices (written_at);
  `,
  // Rows of earlier versions do not say whether their device has a token: 2 until the store of tokens, or the device's next report, says it.
  `
  UPDATE devices SET without_token = 2 WHERE without_token = 0;
  CREATE INDEX devices_of_unknown_token ON devices (device_id) WHERE without_token = 2;
  `,
  `
  CREATE TABLE presence (
    device_group TEXT NOT NULL,
    device_id TEXT NOT NULL,
    shard_boot TEXT NOT NULL,
    version INTEGER NOT NULL, -- 2 x the number of the stream, + 1 when it ended
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (device_group, device_id, shard_boot)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX presence_by_device ON presence (device_id);
  CREATE INDEX presence_by_time ON presence (at_ms);
  CREATE TABLE shards (
    boot TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    seen_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  // Apart from the rows, so that a group's summaries are read without the bodies between them. Rows of earlier versions get theirs when the store is opened.
  `
  CREATE TABLE summaries (
    device_group TEXT NOT NULL,
    device_id TEXT NOT NULL,
    written_at INTEGER NOT NULL, -- version of the row, microseconds since 1970
    body BLOB NOT NULL, -- the encoded DeviceSummary
    PRIMARY KEY (device_group, device_id)
  ) STRICT, WITHOUT ROWID;
  CREATE TRIGGER devices_leave AFTER DELETE ON devices BEGIN
    DELETE FROM summaries WHERE device_group = old.device_group AND device_id = old.device_id;
  END;
  CREATE TRIGGER devices_move AFTER UPDATE OF device_group ON devices WHEN old.device_group <> new.device_group BEGIN
    DELETE FROM summaries WHERE device_group = old.device_group AND device_id = old.device_id;
  END;
  `,
  "ALTER TABLE presence ADD COLUMN worker_version TEXT NOT NULL DEFAULT '';",
  // The store counts the bytes of a report itself when it inserts one: the trigger took as long as two of the indexes.
  "DROP TRIGGER history_grows;",
  // Expiry looks at some rows a minute instead: a change of a row's time changed a page here and there in this index.
  "DROP INDEX presence_by_time;",
  // The bytes of a device's history are summed up in the index of its reports, and remembered by the store: a row of each device was one more page for each report.
  `
  DROP TRIGGER history_shrinks;
  DROP TABLE history;
  DROP INDEX reports_by_device;
  CREATE INDEX reports_by_device ON reports (device_id, id, octet_length(body) + octet_length(original));
  `,
];

/** The bytes that a report has in the history, as `reports_by_device` holds them. */
export const REPORT_BYTES = "octet_length(body) + octet_length(original)";
/** The bytes of the history of a device. */
export const HISTORY_BYTES = `SELECT sum(${REPORT_BYTES}) FROM reports INDEXED BY reports_by_device WHERE device_id = ?`;

/** Whether there are rows of earlier versions, and what they become by the tokens in the database `access`. */
export const OF_UNKNOWN_TOKEN = "SELECT 1 FROM devices INDEXED BY devices_of_unknown_token WHERE without_token = 2 LIMIT 1";
export const RESOLVE_UNKNOWN_TOKENS = `
  UPDATE devices INDEXED BY devices_of_unknown_token SET without_token = device_id NOT IN (SELECT device_id FROM access.device)
  WHERE without_token = 2`;

/** Rows without a summary, which an earlier version wrote, at most that many. */
export const WITHOUT_SUMMARY = `
  SELECT device_group, device_id FROM devices WHERE NOT EXISTS
  (SELECT 1 FROM summaries WHERE summaries.device_group = devices.device_group AND summaries.device_id = devices.device_id) LIMIT ?`;
