import type { Table } from "./table.ts";

/** Partitions of an hour of the history, of an hour of a device_group's, and of a device_group's devices. */
export const BUCKETS = { hour: 16, groupHour: 8, devices: 16 } as const;

/** Rows of the history expire together: a window's file is dropped whole. */
const BY_TIME = "compaction = {'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'HOURS', 'compaction_window_size': '2'}";

/**
 * The tables of the ReportStore. Every row is written with the version of its device's row as its timestamp: a late write of an older version loses. The row in
 * `device` is written last, so it marks that the others are there.
 */
export const REPORT_TABLES: readonly Table[] = [
  {
    name: "report",
    columns:
      "device_id text, id text, device_group text, state int, bytes int, body blob, original text, updated boolean, PRIMARY KEY ((device_id), id)",
    options: `CLUSTERING ORDER BY (id ASC) AND ${BY_TIME}`,
    partition: "device_id; id",
    largest: "16 MiB: a device's reports beyond it are left out",
    serves: "the bodies of reports; the history of a device",
  },
  {
    name: "report_by_hour",
    columns: "hour int, bucket int, id text, device_id text, state int, bytes int, PRIMARY KEY ((hour, bucket), id)",
    options: `CLUSTERING ORDER BY (id ASC) AND ${BY_TIME}`,
    partition: "hour, hash of id mod 16; id",
    largest: "10 reports a device in an hour, 625,000 rows: 75 MB",
    serves: "the history of all devices",
  },
  {
    name: "report_by_group",
    columns: "device_group text, hour int, bucket int, id text, device_id text, state int, bytes int, PRIMARY KEY ((device_group, hour, bucket), id)",
    options: `CLUSTERING ORDER BY (id ASC) AND ${BY_TIME}`,
    partition: "device_group, hour, hash of id mod 8; id",
    largest: "a device_group of all devices, 5 reports each in an hour, 625,000 rows: 75 MB",
    serves: "the history of a device_group",
  },
  {
    name: "device",
    columns: "device_id text, state frozen<tuple<bigint, boolean, boolean, frozen<map<int, int>>, blob>>, PRIMARY KEY ((device_id))",
    options: "",
    partition: "device_id: one row",
    largest: "one status, 1 MB",
    serves: "the newest status of a device, the truth (`state`, one cell: version, deleted, without a token, bytes of history by hour, body)",
  },
  {
    name: "device_summary",
    columns:
      "device_group text, bucket int, device_id text, state int, without_token boolean, bytes int, summary blob, PRIMARY KEY ((device_group, bucket), device_id)",
    options: "CLUSTERING ORDER BY (device_id ASC)",
    partition: "device_group, hash of device_id mod 16; device_id",
    largest: "a device_group of all devices with 30 apps, 62,500 rows of 1.4 KB: 88 MB",
    serves:
      "lists, filters and counts of devices, summaries (`summary`; without one of the row's version, that of the row counts); the count of those without a token",
  },
  {
    name: "reporting_group",
    columns: "without_token boolean, device_group text, PRIMARY KEY ((without_token), device_group)",
    options: "CLUSTERING ORDER BY (device_group ASC)",
    partition: "whether its devices have no token of their own; device_group",
    largest: "110,000 names: 10 MB",
    serves: "the device_groups that devices report from, or connect in",
  },
];

/** The tables of the PresenceStore. Rows of presence are written with 2 x the number of the stream (+ 1 when it ended) as their timestamp. */
export const PRESENCE_TABLES: readonly Table[] = [
  {
    name: "presence",
    columns:
      "device_group text, bucket int, device_id text, shard_boot text, version bigint, at_ms bigint, worker_version text, PRIMARY KEY ((device_group, bucket), device_id, shard_boot)",
    options: "CLUSTERING ORDER BY (device_id ASC, shard_boot ASC)",
    partition: "device_group, hash of device_id mod 16; device_id, boot of a shard",
    largest: "a device_group of all devices, on 5 boots each, 312,500 rows: 50 MB; TTL",
    serves: "which devices of a device_group have a watch open",
  },
  {
    name: "presence_of_device",
    columns:
      "device_id text, device_group text, shard_boot text, version bigint, at_ms bigint, worker_version text, PRIMARY KEY ((device_id), device_group, shard_boot)",
    options: "CLUSTERING ORDER BY (device_group ASC, shard_boot ASC)",
    partition: "device_id; device_group, boot of a shard",
    largest: "a row for each boot that the device had a watch on lately; TTL",
    serves: "whether a device has a watch open, and under which device_group",
  },
  {
    name: "shard",
    columns: "part text, boot text, name text, address text, seen_ms bigint, PRIMARY KEY ((part), boot)",
    options: "CLUSTERING ORDER BY (boot ASC)",
    partition: "part: one partition; boot of a shard",
    largest: "100 shards that start 10 times a day, 35,000 rows: 6 MB; each ends 35 days after it was written last",
    serves: "which boots live, and when the others were seen last",
  },
];

/** Adds the column that the tables of the first version lack. */
export const ADD_SUMMARY = "ALTER TABLE device_summary ADD IF NOT EXISTS summary blob";
