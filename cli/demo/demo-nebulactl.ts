import { tmpdir } from "node:os";
import { commands } from "../nebulactl/commands.ts";
import { processIo } from "../nebulactl/process-io.ts";
import { runNebulactl } from "../nebulactl/run.ts";

export type DemoLogin = Readonly<{ url: string; grpcAddress: string; password: string }>;

/** nebulactl itself, in this process, against the demo's server; what it prints is indented. Answers its exit code. */
export function createNebulactl({ url, password }: DemoLogin, say: (line: string) => void): (args: readonly string[]) => Promise<number> {
  const env = { NEBULA_SERVER: url, NEBULA_USER: "admin", NEBULA_PASSWORD: password };
  const indent = (text: string) => {
    for (const line of text.trimEnd().split("\n")) say(`  ${line}`);
  };
  // no profile of the user's plays a part: the home folder is one without any
  const io = { ...processIo(), env, home: tmpdir(), out: indent, err: indent, outIsTerminal: false, errIsTerminal: false, terminal: undefined };
  return (args) => runNebulactl(commands, args, io, new AbortController().signal);
}
