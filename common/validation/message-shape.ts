import type { DescEnum, DescField, DescMessage, MessageShape } from "@bufbuild/protobuf";
import { isReflectMessage, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import type { Violation } from "../errors/nebula-error.ts";
import { validateKey } from "./name.ts";
import { entryPath } from "./quote.ts";

/** What is wrong with any message, whatever it means: fields of a newer version, enum values that have no name, NUL characters in strings. */
export function validateShape<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): Violation[] {
  return messageViolations(reflect(schema, message), "");
}

/** The fields that this version does not know, by number, `healthcheck.9` for one of a message inside. */
export function unknownFieldPaths<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): string[] {
  return messageViolations(reflect(schema, message), "").flatMap(({ field, description }) => (description === UNKNOWN ? [field] : []));
}

/** What is wrong with the keys of a message's maps. It is looked at when they are written, and not of what is stored. */
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
  return [{ field: path, description: `${value} is no value of it; one of ${desc.values.map(({ name }) => name).join(", ")} would do` }];
}

function join(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}
