import { printableLine } from "../../../common/printable.ts";

/** Prints warnings to standard error, a line each. */
export function printWarnings(warnings: readonly string[], { io }: Readonly<{ io: Readonly<{ err(text: string): void }> }>): void {
  for (const warning of warnings) io.err(`warning: ${printableLine(warning)}\n`);
}
