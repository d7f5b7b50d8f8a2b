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

export type PullLine = Readonly<{ kind: "progress" } | { kind: "waiting" } | { kind: "error"; message: string }>;

/** One line of a pull. An error is a line like any other, after an answer 200; a countdown to the next try is no progress. */
export function parsePullLine(line: unknown): PullLine {
  const { error, errorDetail, status } = recordOf(line);
  const message = textOf(recordOf(errorDetail).message) || textOf(error);
  if (message !== "") return { kind: "error", message };
  return { kind: /^(Retrying in|Waiting)/.test(textOf(status)) ? "waiting" : "progress" };
}
