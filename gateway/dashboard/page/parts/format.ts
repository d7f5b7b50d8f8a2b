/** Numbers and commands as the page writes them. Pure. */
import { shellWord } from "../../../../common/text/wording.ts";

const NUMBER = new Intl.NumberFormat("en-US");

/** `12,345`. */
export function formatCount(count: bigint | number): string {
  return NUMBER.format(count);
}

/** `98.4 %`; `<0.1 %` and `>99.9 %` where rounding would hide the rest. */
export function formatShare(part: bigint, whole: bigint): string {
  if (whole === 0n) return "0 %";
  if (part === whole) return "100 %";
  const share = (Number(part) / Number(whole)) * 100;
  if (part > 0n && share < 0.1) return "<0.1 %";
  if (share > 99.9) return ">99.9 %";
  return `${share.toFixed(1)} %`;
}

/** A command line of its words. */
export function commandLine(words: readonly string[]): string {
  return words.map(shellWord).join(" ");
}
