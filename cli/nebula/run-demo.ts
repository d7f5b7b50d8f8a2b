import { invalidArgument } from "../../common/errors/nebula-error.ts";
import { parseBool, wholeNumber } from "../../common/settings/parse-word.ts";
import { runDemo } from "../demo/demo.ts";
import type { PlainCommand } from "./command.ts";

/** Runs the tour; answers the exit code. */
export async function demo({ own, io }: Parameters<PlainCommand["run"]>[0]): Promise<number> {
  const given = own.get("devices") ?? "100";
  const devices = wholeNumber(1, 2000)(given);
  if (devices.kind === "wrong") throw invalidArgument([{ field: "--devices", description: `"${given}" ${devices.problem}` }]);
  const keep = parseBool(own.get("keep") ?? "false");
  return await runDemo({ devices: devices.value, keep: keep.kind === "value" && keep.value, print: io.write, terminal: io.terminal });
}
