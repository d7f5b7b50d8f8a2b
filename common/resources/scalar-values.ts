import { type DescEnum, ScalarType } from "@bufbuild/protobuf";
import { enumWords } from "../text/enum-words.ts";
import { quote } from "../text/wording.ts";
import type { YamlNode } from "./yaml-tree.ts";

/** A value that was read, or why not. */
export type ReadValue<T> = Readonly<{ kind: "value"; value: T } | { kind: "fault"; description: string }>;

/** A scalar of the types that entities have. */
export function scalarFrom(type: ScalarType, node: YamlNode): ReadValue<string | number | boolean | bigint> {
  if (node.kind === "scalar") {
    const value = valueOfType(type, node.text, node.value);
    if (value !== undefined) return { kind: "value", value };
  }
  const given = node.kind === "scalar" ? quote(node.text) : shapeOf(node);
  return { kind: "fault", description: `is ${given}; use ${wanted(type)}` };
}

/** The number of an enum's value, from its word or its whole name. */
export function enumFrom(desc: DescEnum, node: YamlNode): ReadValue<number> {
  const words = enumWords(desc);
  const word = node.kind === "scalar" ? node.text.toLowerCase() : "";
  const value = desc.values.find(({ name }) => name.toLowerCase() === word)?.number ?? words.get(word);
  if (value !== undefined) return { kind: "value", value };
  const given = node.kind === "scalar" ? quote(node.text) : shapeOf(node);
  return { kind: "fault", description: `is ${given}; use one of ${[...words.keys()].join(", ")}` };
}

/** Returns the shape of a node in words. */
export function shapeOf(node: YamlNode): string {
  if (node.kind !== "scalar") return `a ${node.kind}`;
  return node.value === null ? "empty" : "a single value";
}

function valueOfType(type: ScalarType, text: string, value: string | number | boolean | null): string | number | boolean | bigint | undefined {
  switch (type) {
    case ScalarType.STRING:
      return text;
    case ScalarType.BOOL:
      return typeof value === "boolean" ? value : undefined;
    case ScalarType.DOUBLE:
      return typeof value === "number" ? value : undefined;
    case ScalarType.UINT32:
      return typeof value === "number" && Number.isInteger(value) && value >= 0 && value < 2 ** 32 ? value : undefined;
    case ScalarType.INT64:
      return typeof value === "number" && /^[-+]?[0-9]{1,18}$/.test(text) ? BigInt(text.replace("+", "")) : undefined;
    default:
      return undefined;
  }
}

function wanted(type: ScalarType): string {
  switch (type) {
    case ScalarType.STRING:
      return "a string";
    case ScalarType.BOOL:
      return "true or false, without quotes";
    case ScalarType.DOUBLE:
      return "a number, without quotes";
    case ScalarType.UINT32:
      return `a whole number from 0 to ${2 ** 32 - 1}, without quotes`;
    default:
      return "a whole number, without quotes";
  }
}
