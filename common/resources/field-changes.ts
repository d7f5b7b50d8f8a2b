import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { FieldDifference } from "../../gen/nebula/v1/plan_pb.ts";
import { isDisplay } from "../secrets/sealed-text.ts";

/** A field that differs. undefined is its default. */
export type FieldChange = Readonly<{ field: string; before: JsonValue | undefined; after: JsonValue | undefined }>;

/** Stands for a secret value that is only about to be stored: whether it is another than the stored one only the server knows. */
const GIVEN_SECRET = "(a value)";

/** The fields in which two resources differ, by name. Both leave out what equals its default. Of secret values only what reads show of them is there. */
export function fieldChanges(before: JsonObject, after: JsonObject): FieldChange[] {
  return differences(withoutSecrets(before), withoutSecrets(after));
}

function differences(before: JsonObject, after: JsonObject): FieldChange[] {
  const fields = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return fields.flatMap((field) => (same(before[field], after[field]) ? [] : [{ field, before: before[field], after: after[field] }]));
}

/**
 * A change for a person, a line each: `shop:1.4 -> shop:1.5`; of lists and maps what comes and what goes: `+ REGION=eu`, `- api`.
 * @param isCreated whether the resource did not exist before: `+ shop:1.4`
 */
export function describeChange({ field, before, after }: FieldChange, isCreated = false): string[] {
  const maps = field === "containers_per" ? undefined : bothOf(before, after, asMap, {});
  if (maps !== undefined) return mapChanges(...maps);
  const lists = bothOf(before, after, asSet, []);
  if (lists !== undefined && sameOrder(...lists)) return listChanges(...lists);
  return [isCreated && before === undefined ? `+ ${shown(after)}` : `${shown(before)} -> ${shown(after)}`];
}

/** A difference as the API answers it. */
export function fieldChangeOf({ field, beforeJson, afterJson }: FieldDifference): FieldChange {
  const parse = (text: string | undefined): JsonValue | undefined => (text === undefined ? undefined : JSON.parse(text));
  return { field, before: parse(beforeJson), after: parse(afterJson) };
}

/** Differences for a program: null is the default. */
export function differencesJson(differences: readonly FieldDifference[]): JsonObject[] {
  return differences.map(fieldChangeOf).map(({ field, before, after }) => ({ field, before: before ?? null, after: after ?? null }));
}

/** A difference for a person, a line each: the name of the field, on its first line, and the change. */
export function fieldLines(difference: FieldDifference, isCreated = false): [field: string, change: string][] {
  return describeChange(fieldChangeOf(difference), isCreated).map((line, at) => [at === 0 ? difference.field : "", line]);
}

function mapChanges(before: JsonObject, after: JsonObject): string[] {
  return differences(before, after).map(({ field, before: old, after: next }) => {
    if (old === undefined) return `+ ${field}=${shown(next)}`;
    return next === undefined ? `- ${field}` : `${field}: ${shown(old)} -> ${shown(next)}`;
  });
}

function withoutSecrets(resource: JsonObject): JsonObject {
  const secrets = asMap(resource.secret_env_vars ?? null);
  if (secrets === undefined) return resource;
  const shown = Object.entries(secrets).map(([name, value]) => [name, typeof value === "string" && isDisplay(value) ? value : GIVEN_SECRET]);
  return { ...resource, secret_env_vars: Object.fromEntries(shown) };
}

function listChanges(before: readonly string[], after: readonly string[]): string[] {
  const [gone, come] = [before.filter((item) => !after.includes(item)), after.filter((item) => !before.includes(item))];
  return [...gone.map((item) => `- ${item}`), ...come.map((item) => `+ ${item}`)];
}

/** Whether what both hold stands in the same order in both: then it is enough to say what comes and goes. */
function sameOrder(before: readonly string[], after: readonly string[]): boolean {
  return same(
    before.filter((item) => after.includes(item)),
    after.filter((item) => before.includes(item)),
  );
}

/** Both values in one form, an absent one as the empty one of that form; undefined: one has another form, or none is there. */
function bothOf<T>(
  before: JsonValue | undefined,
  after: JsonValue | undefined,
  as: (value: JsonValue) => T | undefined,
  empty: T,
): [T, T] | undefined {
  const [a, b] = [before === undefined ? empty : as(before), after === undefined ? empty : as(after)];
  return a === undefined || b === undefined || (before === undefined && after === undefined) ? undefined : [a, b];
}

function asMap(value: JsonValue): JsonObject | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
}

/** A list of different texts. */
function asSet(value: JsonValue): string[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const texts = value.filter((item) => typeof item === "string");
  return texts.length === value.length && new Set(texts).size === texts.length ? texts : undefined;
}

function shown(value: JsonValue | undefined): string {
  if (value === undefined) return "default";
  return typeof value === "string" && value !== "" ? value : JSON.stringify(value);
}

function same(a: JsonValue | undefined, b: JsonValue | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
