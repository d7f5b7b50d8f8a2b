import { NebulaError } from "../../common/errors/nebula-error.ts";
import { parseImageReference } from "../../common/validation/image-reference.ts";
import type { RegistryLogin } from "./container-runtime.ts";
import { recordOf, textOf } from "./docker-json.ts";

/** The query of `POST /images/create`; throws `invalid_argument` for what is no reference. */
export function pullQuery(reference: string): { fromImage: string; tag: string } {
  const parsed = parseImageReference(reference);
  if (parsed.kind === "invalid") throw new NebulaError("invalid_argument", parsed.reason);
  const { registry, repository, tag, digest } = parsed.image;
  return { fromImage: `${registry}/${repository}`, tag: digest ?? tag ?? "latest" };
}

/** What the engine takes as X-Registry-Auth. */
export function authConfig(login: RegistryLogin | undefined): Record<string, string> | undefined {
  if (login === undefined) return undefined;
  if ("identityToken" in login) return { identitytoken: login.identityToken, serveraddress: login.registry };
  return { username: login.username, password: login.password, serveraddress: login.registry };
}

/** The engine's words for why a pull failed, which come as a line like any other, after an answer 200; undefined for another line. */
export function pullLineError(line: unknown): string | undefined {
  const { error, errorDetail } = recordOf(line);
  return textOf(recordOf(errorDetail).message) || textOf(error) || undefined;
}
