import { Registry } from "prom-client";
import { systemClock } from "../../common/clock/system-clock.ts";
import { silentLog } from "../../common/log/log.ts";
import type { AuditEntry } from "../../gen/nebula/v1/audit_pb.ts";
import { type AuditParts, createAudit, type RunningAudit } from "../audit/audit.ts";

/** An audit log whose entries are in an array. */
export type KeptAudit = Readonly<{ audit: RunningAudit; entries: readonly AuditEntry[]; registry: Registry }>;

export function keepAudit(parts: Partial<Omit<AuditParts, "registry">> = {}): KeptAudit {
  const entries: AuditEntry[] = [];
  const registry = new Registry();
  const accessStore = {
    async appendAudit(batch: readonly AuditEntry[]) {
      entries.push(...batch);
    },
  };
  return { audit: createAudit({ accessStore, clock: systemClock, log: silentLog, ...parts, registry }), entries, registry };
}
