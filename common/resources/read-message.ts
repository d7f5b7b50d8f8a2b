import { create, type DescField, type DescMessage, type Message, type MessageShape } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { entryPath, nearestName } from "../text/wording.ts";
import { validateKey } from "../validation/names.ts";
import { enumFrom, type ReadValue, scalarFrom, shapeOf } from "./scalar-values.ts";
import { reader } from "./special-fields.ts";
import type { YamlEntry, YamlNode } from "./yaml-tree.ts";

export type LineFault = Readonly<{ line: number; field: string; description: string }>;

/** A message that was read, what was wrong with its shape, and the line of every field and entry by path. */
export type ReadMessage<Desc extends DescMessage> = Readonly<{
  message: MessageShape<Desc>;
  faults: readonly LineFault[];
  lines: ReadonlyMap<string, number>;
}>;

/**
 * Reads a message from a map of its fields by proto names. A string takes the text of any scalar as it is written (VERSION: 1.10 stays 1.10); an empty field is an
 * absent one.
 * @param refused fields that a file may not hold, with the reason
 */
export function readMessage<Desc extends DescMessage>(
  schema: Desc,
  entries: readonly YamlEntry[],
  refused: ReadonlyMap<string, string>,
): ReadMessage<Desc> {
  const message = create(schema);
  const reading: Reading = { faults: [], lines: new Map() };
  readFields(reflect(schema, message), entries, "", refused, reading);
  return { message, faults: reading.faults, lines: reading.lines };
}

type Reading = { faults: LineFault[]; lines: Map<string, number> };

function readFields(
  message: ReflectMessage,
  entries: readonly YamlEntry[],
  prefix: string,
  refused: ReadonlyMap<string, string>,
  reading: Reading,
): void {
  const known = message.fields.map(({ name }) => name).filter((name) => !refused.has(name));
  for (const { key, line, value } of entries) {
    const path = prefix === "" ? key : `${prefix}.${key}`;
    const field = message.fields.find(({ name }) => name === key);
    const reason = refused.get(key);
    if (reason !== undefined) reading.faults.push({ line, field: path, description: reason });
    else if (field === undefined)
      reading.faults.push({ line, field: entryPath(prefix, key).replace(/^\./, ""), description: unknownField(key, known) });
    else {
      reading.lines.set(path, line);
      if (value.kind !== "scalar" || value.value !== null) readField(message, field, value, path, reading);
    }
  }
}

/** Words of other tools for the same thing. */
const OTHER_WORDS: ReadonlyMap<string, string> = new Map([
  ["app_name", "name"],
  ["cron_job_name", "name"],
  ["members", "group_members"],
  ["image", "docker_image"],
  ["ports", "starting_ports"],
  ["replicas", "containers_per"],
  ["env", "env_vars"],
  ["environment", "env_vars"],
  ["memory", "memory_limit_mb"],
  ["mem_limit", "memory_limit_mb"],
  ["shm_size", "shm_size_mb"],
  ["cpu", "cpus"],
  ["log", "logging"],
  ["log_driver", "logging"],
  ["stop_grace_period", "stop_grace_seconds"],
  ["cron", "schedule"],
  ["timezone", "time_zone"],
]);

function unknownField(key: string, known: readonly string[]): string {
  const word = OTHER_WORDS.get(key.toLowerCase().replaceAll("-", "_"));
  const meant = word !== undefined && known.includes(word) ? word : nearestName(key, known);
  return `unknown field; use ${meant === undefined ? `one of ${known.join(", ")}` : meant}`;
}

function readField(message: ReflectMessage, field: DescField, node: YamlNode, path: string, reading: Reading): void {
  const special = reader(field);
  if (special !== undefined) {
    if (node.kind === "list") for (const [index, { line }] of node.items.entries()) reading.lines.set(`${path}[${index}]`, line);
    for (const violation of special(message, field, node))
      reading.faults.push({ line: reading.lines.get(violation.field) ?? node.line, ...violation });
    return;
  }
  switch (field.fieldKind) {
    case "scalar":
      setValue(message, field, scalarFrom(field.scalar, node), node, path, reading);
      break;
    case "enum":
      setValue(message, field, enumFrom(field.enum, node), node, path, reading);
      break;
    case "message":
      if (node.kind === "map") message.set(field, reflect(field.message, readInner(field.message, node.entries, path, reading)));
      else reading.faults.push({ line: node.line, field: path, description: `is ${shapeOf(node)}; use a map of ${namesOf(field.message)}` });
      break;
    case "list":
      if (node.kind === "list") for (const [index, item] of node.items.entries()) readItem(message, field, item, `${path}[${index}]`, reading);
      else reading.faults.push({ line: node.line, field: path, description: `is ${shapeOf(node)}; use a list such as [a, b]` });
      break;
    case "map":
      if (node.kind === "map") for (const entry of node.entries) readEntry(message, field, entry, entryPath(path, entry.key), reading);
      else reading.faults.push({ line: node.line, field: path, description: `is ${shapeOf(node)}; use a map of names to values` });
      break;
  }
}

function setValue(message: ReflectMessage, field: DescField, read: ReadValue<unknown>, { line }: YamlNode, path: string, reading: Reading): void {
  if (read.kind === "value") message.set(field, read.value);
  else reading.faults.push({ line, field: path, description: read.description });
}

function readInner(schema: DescMessage, entries: readonly YamlEntry[], path: string, reading: Reading): Message {
  const inner = create(schema);
  readFields(reflect(schema, inner), entries, path, new Map(), reading);
  return inner;
}

/** Lists of strings and of messages are all that entities have. */
function readItem(message: ReflectMessage, field: DescField & { fieldKind: "list" }, item: YamlNode, path: string, reading: Reading): void {
  reading.lines.set(path, item.line);
  if (field.listKind === "message" && item.kind === "map") {
    message.get(field).add(reflect(field.message, readInner(field.message, item.entries, path, reading)));
  } else if (field.listKind !== "message" && item.kind === "scalar" && item.value !== null) {
    message.get(field).add(item.text);
  } else {
    const wanted = field.listKind === "message" ? `a map of ${namesOf(field.message)}` : 'a string ("" for an empty one)';
    reading.faults.push({ line: item.line, field: path, description: `is ${shapeOf(item)}; use ${wanted}` });
  }
}

/** Maps of strings are all that entities have; an empty value is empty text. */
function readEntry(
  message: ReflectMessage,
  field: DescField & { fieldKind: "map" },
  { key, line, value }: YamlEntry,
  path: string,
  reading: Reading,
): void {
  reading.lines.set(path, line);
  const violations = validateKey(key, path);
  if (violations.length > 0) reading.faults.push(...violations.map((violation) => ({ line, ...violation })));
  else if (value.kind === "scalar") message.get(field).set(key, value.text);
  else reading.faults.push({ line, field: path, description: `is ${shapeOf(value)}; use a string` });
}

function namesOf(schema: DescMessage): string {
  return schema.fields.map(({ name }) => name).join(", ");
}
