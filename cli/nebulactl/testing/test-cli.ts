import { systemClock } from "../../../common/clock/system-clock.ts";
import { commands } from "../commands.ts";
import { connectTo } from "../connection/transport.ts";
import type { Io, Terminal } from "../io/io.ts";
import { runNebulactl } from "../run.ts";

/** How a run ended and what it printed. */
export type Ran = Readonly<{ code: number; out: string; err: string }>;

export type RunOptions = Readonly<{
  env?: Readonly<Record<string, string>>;
  stdin?: string;
  /** The text typed at each question, in order. Absent: nobody can be asked. */
  answers?: readonly string[];
  /** Called at each question, before it is answered. */
  onAsk?: (question: string) => Promise<void>;
  home?: string;
  /** Standard output and error are a terminal. */
  terminal?: boolean;
  /** The columns of standard output. Absent: it is not a terminal. */
  columns?: number;
  signal?: AbortSignal;
  /** Stands for the servers, where a test decides what they answer. */
  connect?: Io["connect"];
  /** Told of everything that is printed, as it is. */
  onOut?: (text: string) => void;
}>;

/** A line as a shell would split it, for arguments without blanks. */
export function words(line: string): string[] {
  return line.split(" ").filter((word) => word !== "");
}

/**
 * Runs nebulactl in this process against real servers.
 * @param args a line without quotes, or the arguments themselves
 */
export async function nebulactl(
  args: string | readonly string[],
  { env = {}, stdin = "", answers, onAsk, home = "/nonexistent", terminal = false, columns, signal, connect = connectTo, onOut }: RunOptions = {},
): Promise<Ran> {
  let out = "";
  let err = "";
  const print = (text: string) => {
    err += text;
  };
  const io: Io = {
    env,
    home,
    clock: systemClock,
    out(text) {
      out += text;
      onOut?.(text);
    },
    err: print,
    redraw(lines) {
      const text = lines.map((line) => `${line}\n`).join("");
      out += text;
      onOut?.(text);
    },
    outIsTerminal: terminal,
    errIsTerminal: terminal,
    columns,
    readStdin: async () => stdin,
    terminal: answers === undefined ? undefined : scripted(answers, print, onAsk),
    connect,
  };
  const code = await runNebulactl(commands, typeof args === "string" ? words(args) : args, io, signal ?? new AbortController().signal);
  return { code, out, err };
}

function scripted(answers: readonly string[], show: (question: string) => void, onAsk: RunOptions["onAsk"]): Terminal {
  const left = [...answers];
  const answer = async (question: string) => {
    show(question);
    await onAsk?.(question);
    const next = left.shift();
    if (next === undefined) throw new Error(`nobody answers "${question}"`);
    return next;
  };
  return { ask: answer, askSecret: answer };
}
