import type { DescEnum, DescEnumValue } from "@bufbuild/protobuf";

/** The words of an enum in resource files: PULL_POLICY_ALWAYS is always. The unspecified value has none: it is what an absent field means. */
export function enumWords(desc: DescEnum): ReadonlyMap<string, number> {
  return new Map(desc.values.filter(({ number }) => number !== 0).map((value) => [wordOf(value), value.number]));
}

/** The word of a value: `no_space`; "" for the unspecified one, and for one that a newer server added. */
export function enumWord(desc: DescEnum, value: number): string {
  const known = desc.value[value];
  return value === 0 || known === undefined ? "" : wordOf(known);
}

/** The value of a word; undefined if it is not one of `words`. @param values the enum */
export function enumValue<Value extends number>(
  values: Readonly<Record<string, Value | string>>,
  words: ReadonlyMap<string, number>,
  word: string | undefined,
): Value | undefined {
  const number = word === undefined ? undefined : words.get(word);
  return Object.values(values).find((value): value is Value => value === number);
}

function wordOf({ name, parent }: DescEnumValue): string {
  return name.toLowerCase().slice((parent.sharedPrefix ?? "").length);
}
