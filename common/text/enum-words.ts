import type { DescEnum } from "@bufbuild/protobuf";

/** The words of an enum in resource files: PULL_POLICY_ALWAYS is always. The unspecified value has none: it is what an absent field means. */
export function enumWords(desc: DescEnum): ReadonlyMap<string, number> {
  const prefix = desc.sharedPrefix ?? "";
  const words = desc.values
    .filter(({ number }) => number !== 0)
    .map(({ name, number }) => [name.toLowerCase().slice(prefix.length), number] as const);
  return new Map(words);
}
