import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { messageOf } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import { hasLostBytes, NOT_UTF8, utf8Text } from "../../common/text/utf8.ts";
import { parseImageReference } from "../../common/validation/container/image-reference.ts";
import type { RegistryLogin } from "../runtime/container-runtime.ts";
import { type DockerConfig, fileLogin, helperOf, parseDockerConfig } from "./docker-config.ts";
import { environmentLogin, registryKey, serverAddress } from "./environment.ts";
import { askCredentialHelper } from "./helper.ts";

export type RegistryLoginsOptions = Readonly<{
  /** REGISTRY_*, DOCKER_CONFIG, HOME, PATH. */
  env: Readonly<Record<string, string | undefined>>;
  log: Log;
}>;

/**
 * Finds the login for the registry of an image, again at each call: REGISTRY_* when they are for that registry, else Docker's own configuration
 * (`~/.docker/config.json`: credential helpers, then what the file itself holds). undefined: none, pull without. Never rejects: what can't be read is
 * logged and done without, and the registry's refusal then tells the rest. Logins never leave the device.
 */
export function createRegistryLogins({ env, log }: RegistryLoginsOptions): (image: string) => Promise<RegistryLogin | undefined> {
  return async (image) => {
    const parsed = parseImageReference(image);
    if (parsed.kind === "invalid") return undefined;
    const registry = registryKey(parsed.image.registry);
    const given = environmentLogin(env);
    if (given !== undefined && registryKey(given.registry) === registry) {
      if (!hasLostBytes(Object.values(given).join(""))) return given;
      log.warn({ registry, reason: `REGISTRY_AUTH_USER or REGISTRY_AUTH_PASSWORD ${NOT_UTF8}` }, "the login can't be used");
      return undefined;
    }
    const config = await readDockerConfig(env, log);
    if (config === undefined) return undefined;
    const fromHelper = await helperLogin(config, registry, env, log);
    if (fromHelper !== undefined) return fromHelper;
    try {
      return fileLogin(config, registry);
    } catch (error) {
      log.warn({ registry, reason: messageOf(error) }, "the login can't be used");
      return undefined;
    }
  };
}

async function readDockerConfig(env: RegistryLoginsOptions["env"], log: Log): Promise<DockerConfig | undefined> {
  const path = join(env.DOCKER_CONFIG || join(env.HOME || homedir(), ".docker"), "config.json");
  try {
    return parseDockerConfig(utf8Text(await readFile(path), "it"));
  } catch (error) {
    const isMissing = error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
    // not the message of JSON.parse: it repeats what it could not read, and that may be a login
    if (!isMissing)
      log.warn({ path, reason: error instanceof SyntaxError ? "it is not valid JSON" : messageOf(error) }, "Docker's logins can't be read");
    return undefined;
  }
}

async function helperLogin(config: DockerConfig, registry: string, env: RegistryLoginsOptions["env"], log: Log): Promise<RegistryLogin | undefined> {
  const helper = helperOf(config, registry);
  if (helper === undefined) return undefined;
  const answer = await askCredentialHelper({ helper, server: serverAddress(registry), env });
  switch (answer.kind) {
    case "login":
      return answer.login;
    case "none":
      return undefined;
    case "failed":
      log.warn({ helper, registry, reason: answer.reason }, "the credential helper failed");
      return undefined;
  }
}
