import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import { inTransaction } from "./open-database.ts";
import type { Row } from "./statements.ts";

/** Rows that are in memory at once; a body is at most some 64 KiB. */
const ROWS_AT_ONCE = 100;

/**
 * Puts in place of the body of every row of these tables what `rewrite` answers for it (undefined: it stays), all in one transaction; then gives back what the
 * file holds no more: SQLite leaves what was replaced in unused pages, and in the log.
 * @param columns what `rewrite` needs of a row
 * @returns how many bodies were replaced
 */
export function rewriteBodies(
  database: DatabaseSync,
  tables: readonly string[],
  columns: string,
  rewrite: (row: Row) => Uint8Array | undefined,
): number {
  const replaced = inTransaction(database, () => tables.reduce((count, table) => count + rewriteTable(database, table, columns, rewrite), 0));
  database.exec("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
  return replaced;
}

function rewriteTable(database: DatabaseSync, table: string, columns: string, rewrite: (row: Row) => Uint8Array | undefined): number {
  const select = database.prepare(`SELECT rowid AS at, ${columns} FROM ${table} WHERE rowid > ? ORDER BY rowid LIMIT ${ROWS_AT_ONCE}`);
  select.setReadBigInts(true);
  const update = database.prepare(`UPDATE ${table} SET body = ? WHERE rowid = ?`);
  let replaced = 0;
  for (let last: SQLInputValue = -1n; ; ) {
    const rows: Row[] = select.all(last);
    for (const row of rows) {
      const body = rewrite(row);
      last = row.at ?? last;
      if (body === undefined) continue;
      update.run(body, last);
      replaced++;
    }
    if (rows.length < ROWS_AT_ONCE) return replaced;
  }
}
