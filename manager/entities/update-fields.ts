import { clone, type DescField, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { assertNoViolations, invalidArgument, type Violation } from "../../common/errors/nebula-error.ts";
import { nearestName, quote } from "../../common/text/wording.ts";

/** A copy of the stored message with the named fields changed, or the reasons why they cannot be. */
export type FieldUpdate<M> = Readonly<{ kind: "updated"; message: M } | { kind: "invalid"; violations: readonly Violation[] }>;

/** Every writable field. */
const ALL = "*";

/** The field or key that one entry of update_fields names. */
type Target = Readonly<{ kind: "all" } | { kind: "field"; field: DescField } | { kind: "key"; field: DescField & { fieldKind: "map" }; key: string }>;

/**
 * Takes the fields that `updateFields` names from `given`. A named field that is absent there becomes absent, which is its default; KEY of `env_vars.KEY` is all after
 * the first dot, and a named key that is absent there is removed. `*` is every writable field, those that only a newer version knows included.
 * @param outputOnly proto names of the fields that only the server writes; `name` selects the entity and cannot be changed either
 */
export function updateFields<Desc extends DescMessage>(
  schema: Desc,
  outputOnly: readonly string[],
  stored: MessageShape<Desc>,
  given: MessageShape<Desc>,
  updateFields: readonly string[],
): FieldUpdate<MessageShape<Desc>> {
  const writable = schema.fields.filter(({ name }) => name !== "name" && !outputOnly.includes(name));
  const read = updateFields.map((path, index) => targetOf(path, `update_fields[${index}]`, writable, outputOnly));
  const violations = read.flatMap((target) => ("description" in target ? [target] : []));
  if (violations.length > 0) return { kind: "invalid", violations };

  const message = clone(schema, stored);
  const to = reflect(schema, message);
  const from = reflect(schema, clone(schema, given));
  for (const target of read) if (!("description" in target)) take(target, from, to, writable);
  return { kind: "updated", message };
}

function take(target: Target, from: ReflectMessage, to: ReflectMessage, writable: readonly DescField[]): void {
  switch (target.kind) {
    case "all":
      for (const field of writable) takeField(field, from, to);
      delete to.message.$unknown;
      break;
    case "field":
      takeField(target.field, from, to);
      break;
    case "key": {
      const value = from.get(target.field).get(target.key);
      if (value === undefined) to.get(target.field).delete(target.key);
      else to.get(target.field).set(target.key, value);
    }
  }
}

function takeField(field: DescField, from: ReflectMessage, to: ReflectMessage): void {
  if (from.isSet(field)) to.set(field, from.get(field));
  else to.clear(field);
}

function targetOf(path: string, at: string, writable: readonly DescField[], outputOnly: readonly string[]): Target | Violation {
  if (path === ALL) return { kind: "all" };
  const dot = path.indexOf(".");
  const name = dot < 0 ? path : path.slice(0, dot);
  const key = dot < 0 ? undefined : path.slice(dot + 1);
  const field = writable.find((known) => known.name === name);
  if (field === undefined) return { field: at, description: refusal(name, writable, outputOnly) };
  if (key === undefined) return { kind: "field", field };
  if (field.fieldKind !== "map") return { field: at, description: `${quote(path)}: ${name} can only be changed as a whole; use ${quote(name)}` };
  if (key === "") return { field: at, description: `${quote(path)} names no key; use ${quote(name)} or "${name}.KEY"` };
  return { kind: "key", field, key };
}

function refusal(name: string, writable: readonly DescField[], outputOnly: readonly string[]): string {
  if (name === "name") return '"name" says which one is meant, and can\'t be changed; create another one in its place';
  if (outputOnly.includes(name)) return `${quote(name)} is set by the server; leave it out`;
  const known = writable.map((field) => field.name);
  return `unknown field ${quote(name)}; use ${nearestName(name, known) ?? `one of ${known.join(", ")}, or *`}`;
}

// --- what a create or an update gives

/** Returns the given message. Throws `invalid_argument` if it is missing, or has fields that this version does not know. */
export function checkGiven<M>(kind: string, given: M | undefined, unknownFields: (message: M) => readonly string[]): M {
  if (given === undefined)
    throw invalidArgument([{ field: kind, description: "is missing; give the whole of it, or at least its name and what changes" }]);
  const description = "is not known to this manager; leave it out, or upgrade the managers first";
  assertNoViolations(unknownFields(given).map((field) => ({ field, description })));
  return given;
}

/**
 * Returns what is wrong with the number of entries of update_fields.
 * @param most entries that are accepted: each is searched for among the names of the fields
 * @param instead what may be given in place of fields
 */
export function updateFieldsViolations({ length }: readonly string[], most: number, instead = "or * for all of them"): Violation[] {
  const field = "update_fields";
  if (length === 0) return [{ field, description: `is empty; name the fields to change, ${instead}` }];
  return length <= most ? [] : [{ field, description: `has ${length} entries; use at most ${most}, or * for all` }];
}

/** Returns what is wrong with a message after an update, except for fields that only a newer manager knows: those stay as they are. */
export function updatedViolations<M>(
  message: M,
  validate: (message: M) => Violation[],
  unknownFields: (message: M) => readonly string[],
): Violation[] {
  const violations = validate(message);
  if (violations.length === 0) return violations;
  const unknown = new Set(unknownFields(message));
  return violations.filter(({ field }) => !unknown.has(field));
}
