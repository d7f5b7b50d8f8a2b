import type { DescEnum } from "@bufbuild/protobuf";

/** The words of an enum in resource files: PULL_POLICY_ALWAYS is always. The unspecified value has none: it is what an absent field means. */
export function enumWords(desc: DescEnum): ReadonlyMap<string, number> {
  const prefix = desc.sharedPrefix ?? "";
  const words = desc.values
    .filter(({ number }) => number !== 0)
    .map(({ name, number }) => [name.toLowerCase().slice(prefix.length), number] as const);
  return new Map(words);
}

/** The word of a value: `no_space`; "" for the unspecified one, and for one that a newer server added. */
export function enumWord(desc: DescEnum, value: number): string {
  for (const [word, number] of enumWords(desc)) if (number === value) return word;
  return "";
}
