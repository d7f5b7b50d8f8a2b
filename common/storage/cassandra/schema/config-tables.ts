import type { Table } from "./table.ts";

/** The key of the only row of `cluster`. */
export const CLUSTER_ROW = "cluster";
/** The only partition of `running`. */
export const RUNNING_PART = "running";

/** The marks of the components that run. Schema version 2. */
export const RUNNING_TABLE: Table = {
  name: "running",
  columns: "part text, id text, component text, PRIMARY KEY ((part), id)",
  options: "",
  partition: "part: one partition; id of a start",
  largest: "a row for each manager and reporter; each ends 30 s after it was written last",
  serves: "the managers and reporters that run, for `nebula migrate`",
};

/**
 * The tables of the ConfigStore. Every write in an `entity` partition is a lightweight transaction; rows of the indexes carry revisions as their timestamps.
 */
export const CONFIG_TABLES: readonly Table[] = [
  {
    name: "cluster",
    columns: "only text, id text, epoch bigint, PRIMARY KEY ((only))",
    options: "",
    partition: "only: one row",
    largest: "1 row",
    serves: "the cluster's identity, with each recheck",
  },
  {
    name: "entity",
    columns:
      "kind text, name text, revision bigint, head bigint static, state blob static, body blob, deleted boolean, action text, changed_at bigint, changed_by text, writer text, bytes int, PRIMARY KEY ((kind, name), revision)",
    options: "CLUSTERING ORDER BY (revision DESC)",
    partition: "kind, name; revision, newest first",
    largest: "16 MiB of history and what 100 revisions add, at most 30 MB",
    serves: "an entity (`state`, one cell), its revision (`head`), its history; the compare-and-set of a write",
  },
  {
    name: "entity_name",
    columns: "kind text, name text, PRIMARY KEY ((kind), name)",
    options: "CLUSTERING ORDER BY (name ASC)",
    partition: "kind; name",
    largest: "1,000,000 names of 63 bytes: 80 MB",
    serves: "lists by name",
  },
  {
    name: "entity_lower",
    columns: "kind text, lower text, name text, PRIMARY KEY ((kind, lower), name)",
    options: "CLUSTERING ORDER BY (name ASC)",
    partition: "kind, name in lower case; name",
    largest: "the spellings of one name",
    serves: "names that differ in case alone",
  },
  {
    name: "member",
    columns: "kind text, name text, device_group text, PRIMARY KEY ((kind, name), device_group)",
    options: "CLUSTERING ORDER BY (device_group ASC)",
    partition: "kind, name of an app or cron_job; device_group",
    largest: "10,000 device_groups: 1 MB",
    serves: "the device_groups that name an app or cron_job",
  },
];
