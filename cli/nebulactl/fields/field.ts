import type { Flag, FlagValues, NumberFlag, TextFlag, ToggleFlag } from "../command/flags.ts";
import { listOf } from "./text-values.ts";

/** The value that a command line gives to a field, and the paths that say so in update_fields. */
export type GivenField<M> = Readonly<{ paths: readonly string[]; value: Partial<M> }>;

/** What a field may touch besides its flags. */
export type FieldInput = Readonly<{
  /** The text of a file that a flag names. */
  readFile(path: string): string;
  /** Tells the user something, and goes on. */
  warn(sentence: string): void;
}>;

/** A field of a resource that has flags. */
export type Field<M> = Readonly<{
  flags: readonly Flag[];
  /** undefined: nothing was given. */
  read(values: FlagValues, input: FieldInput): GivenField<M> | undefined;
}>;

type TextSpec = Omit<TextFlag, "kind">;
type NumberSpec = Omit<NumberFlag, "kind">;
type ToggleSpec = Omit<ToggleFlag, "kind">;

/** A field that one text gives. @param make is told how the flag is written, for its errors */
export function textField<M>(path: string, spec: TextSpec, make: (text: string, label: string) => Partial<M>): Field<M> {
  const flag: TextFlag = { kind: "text", ...spec };
  return field([flag], path, (values) => given(values.text(flag), (text) => make(text, `--${flag.name}`)));
}

/** A field that a flag gives item by item: `--label a=b --label c=d`. */
export function repeatedField<M>(path: string, spec: TextSpec, make: (items: readonly string[], label: string) => Partial<M>): Field<M> {
  const flag: TextFlag = { kind: "text", repeatable: true, ...spec };
  return field([flag], path, (values) => (values.has(flag) ? make(values.all(flag), `--${flag.name}`) : undefined));
}

/** A field that is a list: CSV or a JSON list, and each time that the flag is given adds to it. */
export function listField<M>(path: string, spec: TextSpec, make: (items: string[], label: string) => Partial<M>): Field<M> {
  return repeatedField(path, spec, (texts, label) => make(listOf(texts, label), label));
}

export function numberField<M>(path: string, spec: NumberSpec, make: (number: number) => Partial<M>): Field<M> {
  const flag: NumberFlag = { kind: "number", ...spec };
  return field([flag], path, (values) => given(values.number(flag), make));
}

export function toggleField<M>(path: string, spec: ToggleSpec, make: (on: boolean) => Partial<M>): Field<M> {
  const flag: ToggleFlag = { kind: "toggle", ...spec };
  return field([flag], path, (values) => given(values.toggle(flag), make));
}

/** A field that several flags give together. */
export function field<M>(flags: readonly Flag[], path: string, read: (values: FlagValues) => Partial<M> | undefined): Field<M> {
  return { flags, read: (values) => given(read(values), (value) => ({ paths: [path], value })) };
}

/** All that a command line gives. */
export function readFields<M>(fields: readonly Field<M>[], values: FlagValues, input: FieldInput): GivenField<M> {
  const found = fields.flatMap((known) => known.read(values, input) ?? []);
  const value: Partial<M> = {};
  for (const one of found) Object.assign(value, one.value);
  return { paths: found.flatMap(({ paths }) => paths), value };
}

function given<T, R>(value: T | undefined, make: (value: T) => R): R | undefined {
  return value === undefined ? undefined : make(value);
}
