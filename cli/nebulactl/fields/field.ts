import type { Flag, FlagValues, NumberFlag, TextFlag, ToggleFlag } from "../command/flags.ts";
import { listOf } from "./text-values.ts";

/** The value that a command line gives to a field, and its paths for update_fields. */
export type GivenField<M> = Readonly<{ paths: readonly string[]; value: Partial<M> }>;

/** The functions that a field may use besides its flags. */
export type FieldInput = Readonly<{
  /** Reads a file that a flag names. */
  readFile(path: string): string;
  /** Prints a warning and continues. */
  warn(sentence: string): void;
}>;

/** A field of a resource that has flags. */
export type Field<M> = Readonly<{
  flags: readonly Flag[];
  /** Returns undefined if none of its flags was given. */
  read(values: FlagValues, input: FieldInput): GivenField<M> | undefined;
}>;

type TextSpec = Omit<TextFlag, "kind">;
type NumberSpec = Omit<NumberFlag, "kind">;
type ToggleSpec = Omit<ToggleFlag, "kind">;

/** A field with one text flag. @param make receives the label of the flag, for its errors */
export function textField<M>(path: string, spec: TextSpec, make: (text: string, label: string) => Partial<M>): Field<M> {
  const flag: TextFlag = { kind: "text", ...spec };
  return field([flag], path, (values) => given(values.text(flag), (text) => make(text, `--${flag.name}`)));
}

/** A field with a repeatable flag, one item each: `--label a=b --label c=d`. */
export function repeatedField<M>(path: string, spec: TextSpec, make: (items: readonly string[], label: string) => Partial<M>): Field<M> {
  const flag: TextFlag = { kind: "text", repeatable: true, ...spec };
  return field([flag], path, (values) => (values.has(flag) ? make(values.all(flag), `--${flag.name}`) : undefined));
}

/** A list field: CSV or a JSON list; repeating the flag appends. */
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

/** A field with several flags. */
export function field<M>(flags: readonly Flag[], path: string, read: (values: FlagValues) => Partial<M> | undefined): Field<M> {
  return { flags, read: (values) => given(read(values), (value) => ({ paths: [path], value })) };
}

/** Reads all fields that a command line gives. */
export function readFields<M>(fields: readonly Field<M>[], values: FlagValues, input: FieldInput): GivenField<M> {
  const found = fields.flatMap((known) => known.read(values, input) ?? []);
  const value: Partial<M> = {};
  for (const one of found) Object.assign(value, one.value);
  return { paths: found.flatMap(({ paths }) => paths), value };
}

function given<T, R>(value: T | undefined, make: (value: T) => R): R | undefined {
  return value === undefined ? undefined : make(value);
}
