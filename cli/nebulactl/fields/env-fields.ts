import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { wholeSecret } from "../../../common/text/utf8.ts";
import type { TextFlag } from "../command/flags.ts";
import type { Field } from "./field.ts";
import { parsePair, parsePairs } from "./text-values.ts";

const ENV: TextFlag = {
  kind: "text",
  name: "env",
  aliases: ["env-vars"],
  short: "e",
  placeholder: "K=V",
  repeatable: true,
  help: "One environment variable; on update the others stay. Repeat it for more. K:V,K2:V2: all of them; on update these replace the others.",
};
const UNSET_ENV: TextFlag = {
  kind: "text",
  name: "unset-env",
  placeholder: "K",
  repeatable: true,
  help: "On update: removes one environment variable.",
};

/** Matches the name and `=` of a single variable; the original's form has a colon there. */
const PAIR = /^[^=:,\s]+=/;
/** The name of the flag in errors. */
const LABEL = "--env";

/**
 * Environment variables: single ones (`K=V`), which leave the others unchanged, or all of them in the original's form
 * (`K:V,K2:V2`).
 */
export const envField: Field<{ envVars: Record<string, string> }> = {
  flags: [ENV, UNSET_ENV],
  read(values) {
    const given = values.all(ENV);
    const single = Object.fromEntries(given.filter((text) => PAIR.test(text)).map((text) => parsePair(text, LABEL)));
    const whole = given.filter((text) => !PAIR.test(text));
    if (whole.length > 0) {
      const all = whole.flatMap((text) => Object.entries(parseWhole(text)));
      return { paths: ["env_vars"], value: { envVars: { ...Object.fromEntries(all), ...single } } };
    }
    const paths = [...Object.keys(single), ...values.all(UNSET_ENV)].map((key) => `env_vars.${key}`);
    return paths.length === 0 ? undefined : { paths, value: { envVars: single } };
  },
};

/**
 * Parses the original's form. A name alone is refused, not read from the caller's environment, which differs from
 * machine to machine.
 */
function parseWhole(text: string): Record<string, string> {
  if (text !== "" && /^\w+$/.test(text)) {
    throw new NebulaError(
      "invalid_argument",
      `invalid variable "${text}" in ${LABEL}; use ${text}=VALUE, or --secret-env-file: values never come from the caller's environment`,
    );
  }
  return parsePairs(text, LABEL);
}

/** The same for `create`, which has nothing to unset. */
export const envFieldOfCreate: Field<{ envVars: Record<string, string> }> = { ...envField, flags: [ENV] };

const SECRET_ENV: TextFlag = {
  kind: "text",
  name: "secret-env",
  placeholder: "K=V",
  repeatable: true,
  help: "One variable whose value is never shown. ps shows it while this command runs: prefer --secret-env-file.",
};
const SECRET_ENV_FILE: TextFlag = {
  kind: "text",
  name: "secret-env-file",
  placeholder: "FILE",
  offers: { files: true },
  repeatable: true,
  help: "A file of such variables, K=V a line; empty lines and lines that start with # are ignored.",
};
const UNSET_SECRET_ENV: TextFlag = {
  kind: "text",
  name: "unset-secret-env",
  placeholder: "K",
  repeatable: true,
  help: "On update: removes one of these variables.",
};

/** Secret variables, single ones: the others stay unchanged. No error contains a value. */
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

/** The same for `create`, which has nothing to unset. */
export const secretEnvFieldOfCreate: typeof secretEnvField = { ...secretEnvField, flags: [SECRET_ENV, SECRET_ENV_FILE] };

function linesOf(text: string, path: string): [string, string][] {
  return text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .flatMap((line, index) => (/^\s*(?:#|$)/.test(line) ? [] : [splitPair(line, `line ${index + 1} of ${path}`)]));
}

/** The value is everything after the first `=`, blanks included. */
function splitPair(pair: string, where: string): [name: string, value: string] {
  const at = pair.indexOf("=");
  const name = pair.slice(0, Math.max(0, at)).trim();
  if (name === "")
    throw new NebulaError("invalid_argument", `invalid variable in ${where}: its text is not shown, since it may be a secret; use NAME=value`);
  return [name, pair.slice(at + 1)];
}
