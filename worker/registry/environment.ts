import type { RegistryLogin } from "../runtime/container-runtime.ts";

/** How Docker's clients and helpers call Docker Hub. */
const DOCKER_HUB_SERVER = "https://index.docker.io/v1/";
const DOCKER_HUB_NAMES: ReadonlySet<string> = new Set(["docker.io", "index.docker.io", "registry-1.docker.io"]);

/** v2's word for "no login". */
const SKIP = "skip";

/** host[:port] of a registry, given in any form: with or without protocol and path; docker.io for Docker Hub. */
export function registryKey(text: string): string {
  const host = text
    .replace(/^[a-z]+:\/\//i, "")
    .split("/", 1)
    .join("")
    .toLowerCase();
  return DOCKER_HUB_NAMES.has(host) ? "docker.io" : host;
}

/** The name under which logins for a registry are kept. */
export function serverAddress(registry: string): string {
  return registry === "docker.io" ? DOCKER_HUB_SERVER : registry;
}

/** The login of REGISTRY_HOST (without it Docker Hub), REGISTRY_AUTH_USER and REGISTRY_AUTH_PASSWORD; `skip` in any of them, or a missing one, means that there is none. */
export function environmentLogin(env: Readonly<Record<string, string | undefined>>): RegistryLogin | undefined {
  const { REGISTRY_HOST: host = "docker.io", REGISTRY_AUTH_USER: username = "", REGISTRY_AUTH_PASSWORD: password = "" } = env;
  if (username === "" || password === "" || [host, username, password].includes(SKIP)) return undefined;
  return { username, password, registry: serverAddress(registryKey(host || "docker.io")) };
}
