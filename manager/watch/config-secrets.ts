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

/** Opens the secret values of one member, in place. Throws `failed_precondition` where one can't be opened. */
export function openSecretsOf(keys: SecretKeys, entry: Pick<Config["apps"][number], "app"> | Pick<Config["cronJobs"][number], "cronJob">): void {
  const owned = "app" in entry ? ownedBy("app", entry.app) : "cronJob" in entry ? ownedBy("cron_job", entry.cronJob) : undefined;
  if (owned !== undefined) openSecretEnvVars(keys, owned.owner, owned.values);
}

/** A config as everybody else gets it: a copy with what stands for its secret values. */
export function maskedConfig(config: Config): Config {
  const masked = clone(ConfigSchema, config);
  for (const { values } of secretsOf(masked)) maskSecretEnvVars(values);
  return masked;
}

type Owned = Readonly<{ owner: SecretOwner; values: SecretEnvVars }>;

function secretsOf({ apps, cronJobs }: Config): readonly Owned[] {
  return [...apps.map(({ app }) => ownedBy("app", app)), ...cronJobs.map(({ cronJob }) => ownedBy("cron_job", cronJob))].filter(
    (owned) => owned !== undefined,
  );
}

/** undefined for a member without a spec. */
function ownedBy(kind: SecretOwner["kind"], member: { name: string; secretEnvVars: SecretEnvVars } | undefined): Owned | undefined {
  return member === undefined ? undefined : { owner: { kind, name: member.name }, values: member.secretEnvVars };
}
