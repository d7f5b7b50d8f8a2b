import type { TextFlag } from "../command/flags.ts";
import type { Field } from "./field.ts";
import { parsePair, parsePairs } from "./text-values.ts";

const ENV_VARS: TextFlag = {
  kind: "text",
  name: "env-vars",
  short: "e",
  placeholder: "K:V,K2:V2",
  help: "The environment variables; on update these replace all that are set.",
};
const ENV: TextFlag = {
  kind: "text",
  name: "env",
  placeholder: "K=V",
  repeatable: true,
  help: "One environment variable; on update the others stay. Repeat it for more.",
};
const UNSET_ENV: TextFlag = {
  kind: "text",
  name: "unset-env",
  placeholder: "K",
  repeatable: true,
  help: "On update: removes one environment variable.",
};

/** Environment variables: as a whole (`--env_vars`), or one by one (`--env`, `--unset-env`), which leaves the others as they are. */
export const envField: Field<{ envVars: Record<string, string> }> = {
  flags: [ENV_VARS, ENV, UNSET_ENV],
  read(values) {
    const single = Object.fromEntries(values.all(ENV).map((pair) => parsePair(pair, "--env")));
    const whole = values.text(ENV_VARS);
    if (whole !== undefined) return { paths: ["env_vars"], value: { envVars: { ...parsePairs(whole, "--env_vars"), ...single } } };
    const paths = [...Object.keys(single), ...values.all(UNSET_ENV)].map((key) => `env_vars.${key}`);
    return paths.length === 0 ? undefined : { paths, value: { envVars: single } };
  },
};

/** Where every variable that is wanted has to be given, there is nothing to unset. */
export const envFieldOfCreate: Field<{ envVars: Record<string, string> }> = { ...envField, flags: [ENV_VARS, ENV] };
