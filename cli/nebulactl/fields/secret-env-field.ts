import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { wholeSecret } from "../../../common/text/utf8.ts";
import type { TextFlag } from "../command/flags.ts";
import type { Field } from "./field.ts";

const SECRET_ENV: TextFlag = {
  kind: "text",
  name: "secret-env",
  placeholder: "K=V",
  repeatable: true,
  help: "One variable whose value is never shown. ps shows it while this runs: prefer --secret-env-file.",
};
const SECRET_ENV_FILE: TextFlag = {
  kind: "text",
  name: "secret-env-file",
  placeholder: "FILE",
  repeatable: true,
  help: "A file of such variables, K=V a line; empty lines and lines that start with # are left out.",
};
const UNSET_SECRET_ENV: TextFlag = {
  kind: "text",
  name: "unset-secret-env",
  placeholder: "K",
  repeatable: true,
  help: "On update: removes one of these variables.",
};

/** Secret variables, one by one: the others stay as they are. No message of it holds a value. */
export const secretEnvField: Field<{ secretEnvVars: Record<string, string> }> = {
  flags: [SECRET_ENV, SECRET_ENV_FILE, UNSET_SECRET_ENV],
  read(values, { readFile, warn }) {
    const typed = values.all(SECRET_ENV);
    if (typed.length > 0) warn("--secret-env shows its value in the list of processes and the shell's history; --secret-env-file FILE does not");
    const secretEnvVars = Object.fromEntries([
      ...values.all(SECRET_ENV_FILE).flatMap((path) => linesOf(readFile(path), path)),
      ...typed.map((pair) => splitPair(wholeSecret(pair, "--secret-env"), "--secret-env")),
    ]);
    const paths = [...Object.keys(secretEnvVars), ...values.all(UNSET_SECRET_ENV)].map((key) => `secret_env_vars.${key}`);
    return paths.length === 0 ? undefined : { paths, value: { secretEnvVars } };
  },
};

/** Where every variable that is wanted has to be given, there is nothing to unset. */
export const secretEnvFieldOfCreate: typeof secretEnvField = { ...secretEnvField, flags: [SECRET_ENV, SECRET_ENV_FILE] };

function linesOf(text: string, path: string): [string, string][] {
  return text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .flatMap((line, index) => (/^\s*(?:#|$)/.test(line) ? [] : [splitPair(line, `line ${index + 1} of ${path}`)]));
}

/** The value is all after the first `=`, blanks included. */
function splitPair(pair: string, where: string): [name: string, value: string] {
  const at = pair.indexOf("=");
  const name = pair.slice(0, Math.max(0, at)).trim();
  if (name === "") throw new NebulaError("invalid_argument", `${where} is no NAME=value (it is not shown, since it may be a secret)`);
  return [name, pair.slice(at + 1)];
}
