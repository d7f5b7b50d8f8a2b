import { utf8Text } from "../../common/text/utf8.ts";
import { withoutEnd } from "../../common/text/without-end.ts";
import type { RegistryLogin } from "../runtime/container-runtime.ts";
import { registryKey, serverAddress } from "./environment.ts";

/** The part of Docker's config.json about logins; keys are registries as `registryKey` writes them. */
export type DockerConfig = Readonly<{
  auths: ReadonlyMap<string, unknown>;
  /** The helper of one registry. */
  credHelpers: ReadonlyMap<string, unknown>;
  /** The helper of all others. */
  credsStore: string | undefined;
}>;

/** Reads config.json; throws SyntaxError if it is not JSON. */
export function parseDockerConfig(text: string): DockerConfig {
  const { auths, credHelpers, credsStore } = fieldsOf(JSON.parse(text));
  return { auths: byRegistry(auths), credHelpers: byRegistry(credHelpers), credsStore: textOf(credsStore) };
}

/** The credential helper for a registry: docker-credential-NAME. */
export function helperOf({ credHelpers, credsStore }: DockerConfig, registry: string): string | undefined {
  return textOf(credHelpers.get(registry)) ?? credsStore;
}

/**
 * The login that the file itself holds: an identity token, `user:password` in base64, or both apart.
 * @throws NebulaError `invalid_argument` where the base64 holds something else than UTF-8
 */
export function fileLogin({ auths }: DockerConfig, registry: string): RegistryLogin | undefined {
  const { auth, username, password, identitytoken } = fieldsOf(auths.get(registry));
  const server = serverAddress(registry);
  const identityToken = textOf(identitytoken);
  if (identityToken !== undefined) return { identityToken, registry: server };
  const decoded = withoutEnd(utf8Text(Buffer.from(textOf(auth) ?? "", "base64"), `the login of ${registry}`), "\0");
  const colon = decoded.indexOf(":");
  if (colon > 0) return { username: decoded.slice(0, colon), password: decoded.slice(colon + 1), registry: server };
  const [user, secret] = [textOf(username), textOf(password)];
  return user === undefined || secret === undefined ? undefined : { username: user, password: secret, registry: server };
}

function byRegistry(value: unknown): ReadonlyMap<string, unknown> {
  return new Map(Object.entries(fieldsOf(value)).map(([registry, entry]) => [registryKey(registry), entry]));
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
