import { readFile } from "node:fs/promises";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { systemReason } from "../../../common/errors/system-reason.ts";
import { utf8Text } from "../../../common/text/utf8.ts";
import { withoutEnd } from "../../../common/text/without-end.ts";
import type { Io } from "../io/io.ts";
import type { FlagValues, SwitchFlag, TextFlag } from "./flags.ts";

/* Secrets that a command line does not hold itself: typed unseen, in a file, or on standard input. No error repeats one. */

/**
 * Asks for a password on the terminal, without showing it. Rejects with NebulaError (invalid_argument) if there is no
 * terminal.
 */
export async function askPassword(user: string, { terminal }: Pick<Io, "terminal">, signal: AbortSignal): Promise<string> {
  if (terminal === undefined) {
    throw new NebulaError(
      "invalid_argument",
      `the password of user "${user}" is missing, and there is no terminal to ask on; use --password-file or NEBULA_PASSWORD`,
    );
  }
  return terminal.askSecret(`Password of ${user}: `, signal);
}

/** Reads the secret from the file that a flag names; undefined if the flag was not given. */
export async function secretOf(values: FlagValues, flag: TextFlag): Promise<string | undefined> {
  const path = values.text(flag);
  return path === undefined ? undefined : readSecret(path, `--${flag.name}`);
}

/**
 * Reads a secret from a file, without the end of its line. Rejects with NebulaError (invalid_argument) if the file is
 * empty or not readable.
 */
export async function readSecret(path: string, label: string): Promise<string> {
  try {
    const secret = withoutEnd(utf8Text(await readFile(path), "it"), "\r\n");
    if (secret !== "") return secret;
  } catch (error) {
    throw new NebulaError("invalid_argument", `${label} ${path} can't be read: ${systemReason(error)}`, { cause: error });
  }
  throw new NebulaError("invalid_argument", `${label} ${path} is an empty file`);
}

/**
 * Reads the secret from standard input, for a flag such as --password-stdin. Rejects with NebulaError
 * (invalid_argument) if the input is empty.
 */
export async function secretFromStdin({ name }: SwitchFlag, { readStdin }: Pick<Io, "readStdin">, signal: AbortSignal): Promise<string> {
  const secret = withoutEnd(await readStdin(signal), "\r\n");
  if (secret === "") throw new NebulaError("invalid_argument", `--${name} was given, and standard input is empty`);
  return secret;
}
