import { readFileSync } from "node:fs";

/** The secret that stands in the sample's env values. */
export const SECRET_IN_SAMPLE = "hunter2";

const SAMPLE = readFileSync(new URL("./original-report.json", import.meta.url), "utf8");

/** A report as a worker of the original puts it on the bus, with members changed. */
export function originalReport(changes: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return { ...JSON.parse(SAMPLE), ...changes };
}

export function encodedOriginalReport(changes: Readonly<Record<string, unknown>> = {}): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(originalReport(changes)));
}
