import { createHash } from "node:crypto";
import type { Report } from "../gen/nebula/v1/report_pb.ts";

/**
 * The id of a report in the history, 24 hexadecimal digits (v2's `_id`): 4 bytes of the seconds at which a shard took it, then 8 bytes of SHA-256 over
 * device, boot and seq. It is made of the record alone, so a record that is read twice has one id, and ids rise with received_at.
 */
export function reportId(report: Report): string {
  const seconds = Buffer.alloc(4);
  seconds.writeUInt32BE(Number(BigInt.asUintN(32, report.receivedAt?.seconds ?? 0n)));
  const identity = JSON.stringify([report.deviceId, report.boot, report.seq.toString()]); // JSON: no two of them run together
  return seconds.toString("hex") + createHash("sha256").update(identity).digest("hex").slice(0, 16);
}
