import { ACCESS_TABLES, SESSION_TABLES } from "./access-tables.ts";
import { CONFIG_TABLES, RUNNING_TABLE } from "./config-tables.ts";
import { ADD_SUMMARY, PRESENCE_TABLES, REPORT_TABLES } from "./report-tables.ts";
import type { Table } from "./table.ts";

/** The tables that the stores of a keyspace share: its version, and the lock of the one that changes it. */
const SHARED_TABLES: readonly Table[] = [
  {
    name: "schema_state",
    columns: "part text, version int, locked_by text, lock_beat int, PRIMARY KEY ((part))",
    options: "",
    partition: "part: one row",
    largest: "1 row",
    serves: "the version at the start of a component; the lock of `nebula migrate`",
  },
];

const FIRST_TABLES: readonly Table[] = [...SHARED_TABLES, ...CONFIG_TABLES, ...ACCESS_TABLES, ...REPORT_TABLES];

export const TABLES: readonly Table[] = [...FIRST_TABLES, RUNNING_TABLE, ...PRESENCE_TABLES, ...SESSION_TABLES];

/**
 * A migration of the schema from one version to the next. Each migration expands only: components of the version before still run on it. A release
 * adds one version at most: the release before knows its own and the next (schema-version.ts).
 */
export type Migration = Readonly<{ version: number; statements: readonly string[] }>;

/** Oldest first, numbered from 1; entries are only ever added. Statements can be repeated after a cut. */
export const MIGRATIONS: readonly Migration[] = [
  { version: 1, statements: FIRST_TABLES.map(createTable) },
  { version: 2, statements: [createTable(RUNNING_TABLE)] },
  { version: 3, statements: [...[...PRESENCE_TABLES, ...SESSION_TABLES].map(createTable), ADD_SUMMARY] },
];

/** The schema that this program was made for. */
export const SCHEMA_VERSION = MIGRATIONS.length;

export function createTable({ name, columns, options }: Table): string {
  return `CREATE TABLE IF NOT EXISTS ${name} (${columns})${options === "" ? "" : ` WITH ${options}`}`;
}
