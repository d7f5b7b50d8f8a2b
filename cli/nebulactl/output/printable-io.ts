import { printable } from "../../../common/printable.ts";
import type { Io, Terminal } from "../io.ts";
import { SGR } from "./paint.ts";

/**
 * The same outputs, and nothing that others wrote takes effect there, whichever command prints it: texts are escaped where they are laid out, and once more
 * here. Colours of nebulactl's own pass, on a terminal alone.
 */
export function printableIo(io: Io): Io {
  return {
    ...io,
    out: (text) => io.out(safe(text, io.outIsTerminal)),
    err: (text) => io.err(safe(text, io.errIsTerminal)),
    terminal: io.terminal === undefined ? undefined : printableTerminal(io.terminal),
  };
}

function printableTerminal(terminal: Terminal): Terminal {
  return {
    ask: (question, signal) => terminal.ask(printable(question), signal),
    askSecret: (question, signal) => terminal.askSecret(printable(question), signal),
  };
}

function safe(text: string, colors: boolean): string {
  if (!colors) return printable(text);
  return text
    .split(SGR)
    .map((part, index) => (index % 2 === 1 ? part : printable(part)))
    .join("");
}
