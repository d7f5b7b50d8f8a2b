import type { DatabaseSync } from "node:sqlite";
import { create } from "@bufbuild/protobuf";
import { ReportSchema, type StoredReport, StoredReportSchema } from "../../../../gen/nebula/v1/report_pb.ts";
import { BoundedMap } from "../../../bounded-map.ts";
import { readMessage } from "../../../protobuf/binary-message.ts";
import { encodedReport } from "../../encoded-report.ts";
import { firstReportIdAt } from "../../report-id.ts";
import { inTransaction } from "../open-database.ts";
import { bytes, integer, type Row, text } from "../statements.ts";
import { HISTORY_BYTES, REPORT_BYTES } from "./report-schema.ts";

/** How many reports one call of `expire` removes at most: SQLite has the event loop to itself meanwhile. */
const EXPIRED_PER_CALL = 200;
/** Devices whose bytes in the history are remembered. */
const MOST_COUNTED = 50_000;

/** The reports of the last hours, and how many bytes each device has among them. */
export class ReportHistory {
  readonly #database: DatabaseSync;
  readonly #insert: ReturnType<DatabaseSync["prepare"]>;
  readonly #delete: ReturnType<DatabaseSync["prepare"]>;
  readonly #count: ReturnType<DatabaseSync["prepare"]>;
  readonly #ofDevice: ReturnType<DatabaseSync["prepare"]>;
  /** The bytes of some devices, as in the index. */
  readonly #counted = new BoundedMap<string, number>(MOST_COUNTED);

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#insert = database.prepare(`
      INSERT INTO reports (id, device_id, device_group, state, body, original, updated) VALUES (?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (id) DO NOTHING`);
    this.#delete = database.prepare(`
      DELETE FROM reports WHERE number IN (SELECT number FROM reports WHERE id < ? ORDER BY id LIMIT ${EXPIRED_PER_CALL})
      RETURNING device_id, ${REPORT_BYTES}`);
    this.#count = database.prepare(HISTORY_BYTES);
    for (const statement of [this.#delete, this.#count]) statement.setReturnArrays(true);
    this.#ofDevice = database.prepare("SELECT id, body, original, updated FROM reports WHERE device_id = ? ORDER BY id");
  }

  /** Runs a transaction that inserts reports. */
  change<T>(work: () => T): T {
    try {
      return inTransaction(this.#database, work);
    } catch (error) {
      this.#counted.clear(); // of what is not stored, or perhaps not
      throw error;
    }
  }

  /** Inserts a report, within `change`; answers whether there was room for it. @param most bytes: a device that has as many gets no more */
  insert({ id, report, originalJson, updated }: StoredReport, most: number): boolean {
    if (report === undefined) throw new TypeError(`report ${id} is empty`);
    const { deviceId, deviceGroup, state } = report;
    const body = encodedReport(report);
    const held = this.#heldBy(deviceId);
    if (held >= most) return false;
    const { changes } = this.#insert.run(id, deviceId, deviceGroup, state, body, originalJson, updated ? 1 : 0);
    if (changes === 1) this.#counted.set(deviceId, held + body.length + Buffer.byteLength(originalJson));
    return true;
  }

  /** The reports of a device by id. */
  of(deviceId: string): readonly StoredReport[] {
    return this.#ofDevice.all(deviceId).map(readReport);
  }

  /** Removes reports that were received before this time, a bounded number; answers how many. */
  expire(receivedBeforeMs: number): number {
    const deleted = this.#delete.all(firstReportIdAt(receivedBeforeMs));
    for (const row of deleted) {
      const held = this.#counted.get(text(row, 0));
      if (held !== undefined) this.#counted.set(text(row, 0), held - integer(row, 1));
    }
    return deleted.length;
  }

  /** Returns the bytes of a device's reports, and remembers them also where no report is added: a history that is full has the most to sum up. */
  #heldBy(deviceId: string): number {
    const known = this.#counted.get(deviceId);
    if (known !== undefined) return known;
    const row = this.#count.get(deviceId);
    const held = row === undefined || row[0] === null ? 0 : integer(row, 0);
    this.#counted.set(deviceId, held);
    return held;
  }
}

/** @param row its columns id, body, original and updated */
export function readReport(row: Row): StoredReport {
  const { id, original } = row;
  if (typeof id !== "string" || typeof original !== "string") throw new TypeError("the id of a report, or its original, is not a text");
  const report = readMessage(ReportSchema, bytes(row, "body"));
  return create(StoredReportSchema, { id, report, originalJson: original, updated: integer(row, "updated") === 1 });
}
