import { clone } from "@bufbuild/protobuf";
import { maskSecretEnvVars, openSecretEnvVars, type SecretEnvVars, type SecretOwner } from "../../common/secrets/secret-env-vars.ts";
import type { SecretKeys } from "../../common/secrets/secret-keys.ts";
import { type Config, ConfigSchema } from "../../gen/nebula/v1/config_pb.ts";

/**
 * A config as devices get it: with its secret values opened, in a copy where there are any.
 * Throws `failed_precondition` where one can't be: a device that got the app without it would make its containers anew, and worse.
 */
export function openedConfig(keys: SecretKeys, config: Config): Config {
  if (secretsOf(config).every(({ values }) => Object.keys(values).length === 0)) return config;
  const opened = clone(ConfigSchema, config);
  for (const { owner, values } of secretsOf(opened)) openSecretEnvVars(keys, owner, values);
  return opened;
}

/** A config as everybody else gets it: a copy with what stands for its secret values. */
export function maskedConfig(config: Config): Config {
  const masked = clone(ConfigSchema, config);
  for (const { values } of secretsOf(masked)) maskSecretEnvVars(values);
  return masked;
}

function secretsOf({ apps, cronJobs }: Config): { owner: SecretOwner; values: SecretEnvVars }[] {
  return [
    ...apps.flatMap(({ app }) => (app === undefined ? [] : [{ owner: { kind: "app" as const, name: app.name }, values: app.secretEnvVars }])),
    ...cronJobs.flatMap(({ cronJob }) =>
      cronJob === undefined ? [] : [{ owner: { kind: "cron_job" as const, name: cronJob.name }, values: cronJob.secretEnvVars }],
    ),
  ];
}
