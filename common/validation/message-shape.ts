import { type DescEnum, type DescField, type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { isReflectMessage, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import type { Violation } from "../errors/nebula-error.ts";
import { looksSealed, sealedLength } from "../secrets/sealed-text.ts";
import { entryPath } from "../text/wording.ts";
import { validateKey } from "./names.ts";
import { OUTPUT_ONLY } from "./normal-form.ts";

/** Checks what holds for each message: no fields of a newer version, no unknown enum values, no NUL characters in strings. */
export function validateShape<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): Violation[] {
  return messageViolations(reflect(schema, message), "");
}

/** The fields that this version does not know, by number, `healthcheck.9` for one of a message inside. */
export function unknownFieldPaths<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): string[] {
  return messageViolations(reflect(schema, message), "").flatMap(({ field, description }) => (description === UNKNOWN ? [field] : []));
}

/** Checks the keys of the maps of a message that is about to be written. Stored messages are not checked. */
export function validateKeys<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): Violation[] {
  return keyViolations(reflect(schema, message), "");
}

function keyViolations(message: ReflectMessage, path: string): Violation[] {
  return message.fields.flatMap((field): Violation[] => {
    if (!message.isSet(field)) return [];
    const at = join(path, field.name);
    switch (field.fieldKind) {
      case "message":
        return keyViolations(message.get(field), at);
      case "list":
        return [...message.get(field)].flatMap((item, index) => (isReflectMessage(item) ? keyViolations(item, `${at}[${index}]`) : []));
      case "map":
        return [...message.get(field).keys()].flatMap((key) => validateKey(String(key), entryPath(at, String(key))));
      default:
        return [];
    }
  });
}

const UNKNOWN = "is a field that this version does not know; leave it out, or upgrade";

function messageViolations(message: ReflectMessage, path: string): Violation[] {
  const unknown = message.getUnknown() ?? [];
  return [
    ...unknown.map(({ no }) => ({ field: join(path, String(no)), description: UNKNOWN })),
    ...message.fields.flatMap((field) => (message.isSet(field) ? fieldViolations(message, field, join(path, field.name)) : [])),
  ];
}

function fieldViolations(message: ReflectMessage, field: DescField, path: string): Violation[] {
  switch (field.fieldKind) {
    case "scalar":
      return stringViolations(message.get(field), path);
    case "enum":
      return enumViolations(field.enum, message.get(field), path);
    case "message":
      return messageViolations(message.get(field), path);
    case "list":
      return [...message.get(field)].flatMap((item, index) => itemViolations(field, item, `${path}[${index}]`));
    case "map":
      return [...message.get(field)].flatMap(([key, value]) => [
        ...stringViolations(key, entryPath(path, String(key))),
        ...itemViolations(field, value, entryPath(path, String(key))),
      ]);
  }
}

function itemViolations(field: DescField & { fieldKind: "list" | "map" }, value: unknown, path: string): Violation[] {
  if (field.enum !== undefined) return enumViolations(field.enum, value, path);
  if (isReflectMessage(value)) return messageViolations(value, path);
  return stringViolations(value, path);
}

function stringViolations(value: unknown, path: string): Violation[] {
  if (typeof value !== "string") return [];
  if (value.includes("\0")) return [{ field: path, description: "contains a NUL character, which no container can be given; leave it out" }];
  return value.isWellFormed() ? [] : [{ field: path, description: "contains half a character (a lone surrogate); text is UTF-8" }];
}

function enumViolations(desc: DescEnum, value: unknown, path: string): Violation[] {
  if (desc.values.some(({ number }) => number === value)) return [];
  return [{ field: path, description: `invalid value "${value}"; use one of ${desc.values.map(({ name }) => name).join(", ")}` }];
}

function join(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

/** The most that an app or a cron_job may take, encoded in normal form as it is stored, but without what the server sets, bytes. */
const LARGEST_ENTITY = 64 * 1024;

/**
 * The size of an app or a cron_job in normal form: an entity that was accepted stays so at any revision. Secret values count as long as they are stored.
 * @param normalise brings the entity into its normal form
 */
export function validateSize<Desc extends DescMessage>(
  kind: "app" | "cron_job",
  schema: Desc,
  entity: MessageShape<Desc>,
  normalise: (entity: MessageShape<Desc>) => MessageShape<Desc>,
): Violation[] {
  const bytes = encodedSize(kind, schema, entity, normalise);
  if (bytes === undefined || bytes <= LARGEST_ENTITY) return [];
  return [{ field: kind, description: `is ${bytes} bytes encoded; use at most ${LARGEST_ENTITY}: put large values into a volume or the image` }];
}

/** Bytes; undefined if the entity cannot be encoded because a text is not UTF-8, which validateShape reports. */
function encodedSize<Desc extends DescMessage>(...[kind, schema, entity, normalise]: Parameters<typeof validateSize<Desc>>): number | undefined {
  try {
    const written = normalise(entity);
    const fields = reflect(schema, written);
    for (const field of schema.fields) if (OUTPUT_ONLY[kind].includes(field.name)) fields.clear(field);
    lengthenSecrets(fields);
    return toBinary(schema, written).byteLength;
  } catch {
    return undefined;
  }
}

/** Replaces secret values by texts as long as their sealed form. */
function lengthenSecrets(message: ReflectMessage): void {
  const field = message.fields.find(({ name }) => name === "secret_env_vars");
  if (field?.fieldKind !== "map") return;
  const secrets = message.get(field);
  for (const [variable, value] of secrets) {
    if (typeof value === "string" && !looksSealed(value)) secrets.set(variable, "x".repeat(sealedLength(value)));
  }
}
