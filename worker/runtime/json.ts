/** Reads what an engine answers: engines differ in which fields they send, so a missing or foreign value is a default, never a crash. */
export type Json = Readonly<Record<string, unknown>>;

export function recordOf(value: unknown): Json {
  return isRecord(value) ? value : {};
}

export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function numberOf(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function textsOf(value: unknown): readonly string[] {
  return listOf(value).filter((entry) => typeof entry === "string");
}

/** A map whose values are texts; other values are left out. */
export function textMapOf(value: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(recordOf(value)).flatMap(([key, text]) => (typeof text === "string" ? [[key, text]] : [])));
}

/** A time as the engine writes it, in milliseconds since 1970; undefined for its zero time. */
export function timeOf(value: unknown): number | undefined {
  const time = Date.parse(textOf(value));
  return Number.isNaN(time) || time <= 0 ? undefined : time;
}

function isRecord(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
