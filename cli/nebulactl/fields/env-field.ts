import { NebulaError } from "../../../common/errors/nebula-error.ts";
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

/** What stands before the `=` of one variable; the original's form has a colon there. */
const PAIR = /^[^=:,\s]+=/;
/** How errors name the flag. */
const LABEL = "--env";

/** Environment variables: one by one (`K=V`), which leaves the others as they are, or all of them in the original's form (`K:V,K2:V2`). */
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

/** The original's form. A name alone is not a variable of the caller's environment: that would depend on where the command is typed. */
function parseWhole(text: string): Record<string, string> {
  if (text !== "" && /^\w+$/.test(text)) {
    throw new NebulaError(
      "invalid_argument",
      `invalid variable "${text}" in ${LABEL}; use ${text}=VALUE, or --secret-env-file: values never come from the caller's environment`,
    );
  }
  return parsePairs(text, LABEL);
}

/** Where every variable that is wanted has to be given, there is nothing to unset. */
export const envFieldOfCreate: Field<{ envVars: Record<string, string> }> = { ...envField, flags: [ENV] };
