import type { Violation } from "../errors/nebula-error.ts";
import { entryPath } from "./quote.ts";

const RESERVED = new Set(["orchestrator", "container_type", "app_name", "cron_job_name"]);

/** Whether the worker writes this label itself: whose container it is rests on it. */
function isReservedLabel(key: string): boolean {
  return RESERVED.has(key) || key.startsWith("nebula.");
}

export function validateLabels(labels: Readonly<Record<string, string>>): Violation[] {
  return Object.keys(labels).flatMap((key) => {
    if (key === "") return [{ field: "labels", description: "has a label without a key; a key is at least one character" }];
    if (!isReservedLabel(key)) return [];
    return [
      { field: entryPath("labels", key), description: `is a label of Nebula's own (nebula.*, ${[...RESERVED].join(", ")}); choose another key` },
    ];
  });
}
