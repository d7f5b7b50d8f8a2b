import type { DatabaseSync } from "node:sqlite";
import { decodePresencePosition, encodePresencePosition, type Page, type PresencePosition } from "../../page.ts";
import { PRESENCE_KEPT_MS, type PresenceRow, type PresenceStore, presenceVersion, readPresenceVersion, SHARD_KEPT_MS } from "../../presence-store.ts";
import { sharedText } from "../../shared-values.ts";
import { inTransaction } from "../open-database.ts";
import { attemptOf, integer, optional, pageOfRows, type Row, text } from "../statements.ts";

/** How many rows one call of `expirePresence` looks at, and removes, at most: SQLite has the event loop to itself meanwhile. */
const LOOKED_AT_PER_CALL = 2000;
const EXPIRED_PER_CALL = 200;
/** Device_groups whose last write of presence is known apart from that of others. */
const MARKED_GROUPS = 10_000;
/** Before the first key. */
const START = ["", "", ""] as const;

const attempt = attemptOf("report");

/** The part of the report store that holds presence. */
export function createPresenceStore(database: DatabaseSync): PresenceStore {
  const inGroup = "device_id, shard_boot, version, at_ms, worker_version";
  const columns = `device_group, ${inGroup}`;
  const write = database.prepare(`
    INSERT INTO presence (${columns}) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (device_group, device_id, shard_boot)
    DO UPDATE SET version = excluded.version, at_ms = excluded.at_ms, worker_version = excluded.worker_version
    WHERE excluded.version > version`);
  // NULL for the texts of the row that was read last: nearly all rows have them in common, and node:sqlite makes each text again
  const ofGroup = database.prepare(`
    SELECT device_id, nullif(shard_boot, ?), version, at_ms, nullif(worker_version, ?) FROM presence
    WHERE device_group = ? AND (device_id, shard_boot) > (?, ?) ORDER BY device_id, shard_boot LIMIT ?`);
  const ofDevice = database.prepare(`
    SELECT ${inGroup}, device_group FROM presence INDEXED BY presence_by_device WHERE device_id = ? ORDER BY device_group, shard_boot`);
  for (const statement of [ofGroup, ofDevice]) statement.setReturnArrays(true);
  const remove = database.prepare("DELETE FROM presence WHERE device_group = ? AND device_id = ? AND shard_boot = ? AND version <= ?");
  const mark = database.prepare(`
    INSERT INTO shards (boot, name, address, seen_ms) VALUES (?, ?, ?, ?)
    ON CONFLICT (boot) DO UPDATE SET name = excluded.name, address = excluded.address, seen_ms = excluded.seen_ms WHERE excluded.seen_ms > seen_ms`);
  const shards = database.prepare("SELECT boot, name, address, seen_ms FROM shards ORDER BY boot");
  // An index by time would have to be written with every row.
  const key = "device_group, device_id, shard_boot";
  const from = `FROM presence WHERE (${key}) > (?, ?, ?) ORDER BY ${key} LIMIT`;
  const expireRows = database.prepare(`
    DELETE FROM presence WHERE (${key}) IN (
      SELECT ${key} FROM (SELECT ${key}, at_ms, version ${from} ${LOOKED_AT_PER_CALL})
      WHERE at_ms < ? AND (version % 2 = 1 OR shard_boot NOT IN (SELECT boot FROM shards WHERE seen_ms >= ?))
      LIMIT ${EXPIRED_PER_CALL})`);
  const lastLookedAt = database.prepare(`SELECT ${key} ${from} 1 OFFSET ${LOOKED_AT_PER_CALL - 1}`);
  lastLookedAt.setReturnArrays(true);
  /** The key after which the next call of `expirePresence` looks. */
  let looked: readonly [string, string, string] = START;
  const expireShards = database.prepare(`DELETE FROM shards WHERE boot IN (SELECT boot FROM shards WHERE seen_ms < ? LIMIT ${EXPIRED_PER_CALL})`);

  const otherConnections = database.prepare("PRAGMA data_version"); // another one when another connection has written to the file
  /** Writes of this connection so far, the last one of each device_group, and the last one of all others. */
  let writes = 0;
  const lastWrites = new Map<string, number>();
  let lastOfOthers = 0;

  function noteWrite(rows: readonly PresenceRow[]): void {
    writes++;
    if (lastWrites.size > MARKED_GROUPS) noteWriteOfAll();
    for (const { deviceGroup } of rows) lastWrites.set(deviceGroup, writes);
  }

  function noteWriteOfAll(): void {
    lastOfOthers = ++writes;
    lastWrites.clear();
  }

  /** The boot and the worker_version of the row that was read last. */
  let [usualBoot, usualVersion] = ["", ""];

  /** @param after the key of the last row of the page before */
  function presencePage(deviceGroup: string, after: PresencePosition, limit: number): Page<PresenceRow> {
    const [boot, version] = [usualBoot, usualVersion];
    const rows = ofGroup.all(boot, version, deviceGroup, after.deviceId, after.shardBoot, limit + 1); // small rows: an iterator takes half as long again
    const page = pageOfRows(rows, limit, (row) => rowOf(row, deviceGroup, boot, version), encodePresencePosition);
    const last = page.items.at(-1);
    if (last !== undefined) [usualBoot, usualVersion] = [last.shardBoot, last.workerVersion ?? ""];
    return page;
  }

  return {
    async savePresence(rows, signal) {
      signal?.throwIfAborted();
      noteWrite(rows);
      attempt("save presence", () =>
        inTransaction(database, () => {
          for (const row of rows) write.run(row.deviceGroup, row.deviceId, row.shardBoot, presenceVersion(row), row.atMs, row.workerVersion ?? "");
        }),
      );
    },

    async listPresence(deviceGroup, { after, limit }, signal) {
      signal?.throwIfAborted();
      const position = after === undefined ? { deviceId: "", shardBoot: "" } : decodePresencePosition(after);
      return attempt("list presence", () => presencePage(deviceGroup, position, limit));
    },

    presenceMark(deviceGroup) {
      const row = attempt("read its version", () => otherConnections.get()) ?? {};
      return `${integer(row, "data_version")}.${lastWrites.get(deviceGroup) ?? lastOfOthers}`;
    },

    async presenceOf(deviceIds, signal) {
      signal?.throwIfAborted();
      return attempt("read presence", () => {
        const found = new Map<string, readonly PresenceRow[]>();
        for (const deviceId of [...new Set(deviceIds)].sort()) {
          const rows = ofDevice.all(deviceId).map((row) => rowOf(row, text(row, 5)));
          if (rows.length > 0) found.set(deviceId, rows);
        }
        return found;
      });
    },

    async deletePresence(rows, signal) {
      signal?.throwIfAborted();
      noteWrite(rows);
      attempt("remove presence", () =>
        inTransaction(database, () => {
          for (const row of rows) remove.run(row.deviceGroup, row.deviceId, row.shardBoot, presenceVersion(row));
        }),
      );
    },

    async markShard({ boot, name, address, seenMs }, signal) {
      signal?.throwIfAborted();
      attempt("mark a shard", () => mark.run(boot, name, address, seenMs));
    },

    async listShards(signal) {
      signal?.throwIfAborted();
      return attempt("list shards", () =>
        shards.all().map((row) => ({
          boot: text(row, "boot"),
          name: text(row, "name"),
          address: text(row, "address"),
          seenMs: integer(row, "seen_ms"),
        })),
      );
    },

    async expirePresence(nowMs, signal) {
      signal?.throwIfAborted();
      return attempt("remove old presence", () => {
        const last = optional(lastLookedAt.get(...looked), (row) => [text(row, 0), text(row, 1), text(row, 2)] as const);
        const removed = Number(expireRows.run(...looked, nowMs - PRESENCE_KEPT_MS, nowMs - SHARD_KEPT_MS).changes);
        if (removed > 0) noteWriteOfAll();
        if (removed < EXPIRED_PER_CALL) looked = last ?? START;
        return removed + Number(expireShards.run(nowMs - SHARD_KEPT_MS).changes);
      });
    },
  };
}

/**
 * @param row its columns as a list, as `inGroup` names them
 * @param usualBoot its boot where that column is NULL
 * @param usualVersion its worker_version where that column is NULL
 */
function rowOf(row: Row, deviceGroup: string, usualBoot = "", usualVersion = ""): PresenceRow {
  const { stream, ended } = readPresenceVersion(integer(row, 2));
  const [deviceId, atMs] = [text(row, 0), integer(row, 3)];
  const shardBoot = row[1] === null ? usualBoot : sharedText(text(row, 1));
  const workerVersion = row[4] === null ? usualVersion : sharedText(text(row, 4));
  if (workerVersion === "") return { deviceGroup, deviceId, shardBoot, stream, ended, atMs };
  return { deviceGroup, deviceId, shardBoot, stream, ended, atMs, workerVersion };
}
