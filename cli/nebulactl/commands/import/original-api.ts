import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { authorizationOf, type Credentials } from "../../../../common/access/authorization.ts";
import { isNebulaError, messageOf, NebulaError } from "../../../../common/errors/nebula-error.ts";
import { mapLimited } from "../../../../common/map-limited.ts";
import type { ServerUrl } from "../../../../common/settings/settings.ts";
import { utf8Text } from "../../../../common/text/utf8.ts";
import { parseV2Json } from "../../../../common/v2/parse-json.ts";
import { formatServerUrl } from "../../session/server-url.ts";

/** The limit of one answer, milliseconds: the original computes a bcrypt hash at each call of a stored user. */
const TIMEOUT_MS = 60_000;
/** The largest answer, bytes. */
const LARGEST_ANSWER = 64 * 2 ** 20;

/** The nouns of the REST API of the original, as in its paths and answers. */
export type OriginalNoun = "apps" | "cron_jobs" | "device_groups" | "users" | "user_groups";

/**
 * The REST API v2 of a running original manager, read only. Rejects with NebulaError: unauthenticated or
 * permission_denied if the login is refused, unavailable if it is unreachable, failed_precondition if the answer is not
 * one of an original manager.
 */
export class OriginalApi {
  readonly #base: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #signal: AbortSignal;

  constructor(server: ServerUrl, credentials: Credentials | undefined, signal: AbortSignal) {
    this.#base = `${formatServerUrl(server)}/api/v2`;
    this.#headers = credentials === undefined ? {} : { authorization: authorizationOf(credentials) };
    this.#signal = signal;
  }

  /** The names of one noun, sorted. */
  async names(noun: OriginalNoun): Promise<string[]> {
    const answer = await this.#get(noun);
    const names = isObject(answer) ? answer[noun] : undefined;
    if (!Array.isArray(names) || !names.every((name) => typeof name === "string")) throw this.#foreign(noun, "has no list of names");
    return names.toSorted();
  }

  /** One object; undefined if it was deleted since the list was read. */
  async object(noun: OriginalNoun, name: string): Promise<JsonObject | undefined> {
    const path = `${noun}/${encodeURIComponent(name)}`;
    try {
      const answer = await this.#get(path);
      if (!isObject(answer)) throw this.#foreign(path, "is not a JSON object");
      return answer;
    } catch (error) {
      if (isNebulaError(error, "not_found")) return undefined;
      throw error;
    }
  }

  async #get(path: string): Promise<JsonValue> {
    const url = `${this.#base}/${path}`;
    const signal = AbortSignal.any([this.#signal, AbortSignal.timeout(TIMEOUT_MS)]);
    let response: Response;
    let text: string;
    try {
      response = await fetch(url, { headers: this.#headers, redirect: "error", signal });
      text = await bounded(response);
    } catch (error) {
      this.#signal.throwIfAborted();
      if (isNebulaError(error)) throw error;
      const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
      throw new NebulaError("unavailable", `${url} can't be read: ${messageOf(cause)}`, { cause: error });
    }
    const body = parsed(text);
    switch (response.status) {
      case 200:
        if (body === undefined) throw this.#foreign(path, "is not JSON");
        return body;
      case 401:
        throw new NebulaError("unauthenticated", `${this.#base} refuses the login; use --from-user and --from-password-file, or --from-token-file`);
      case 403:
        if (isObject(body) && Object.entries(body).some(([key, value]) => key.endsWith("_exists") && value === false)) {
          throw new NebulaError("not_found", `${url} not found`);
        }
        throw new NebulaError("permission_denied", `${url} refuses this login: an import needs an admin of the old manager`);
      default:
        throw this.#foreign(path, `was answered with status ${response.status}`);
    }
  }

  #foreign(path: string, what: string): NebulaError {
    return new NebulaError("failed_precondition", `${this.#base}/${path} ${what}; check that it is the API v2 of an original Nebula manager`);
  }
}

async function bounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > LARGEST_ANSWER) throw new NebulaError("failed_precondition", `${response.url} answers more than ${LARGEST_ANSWER} bytes`);
    chunks.push(chunk);
  }
  return utf8Text(Buffer.concat(chunks), response.url);
}

function parsed(text: string): JsonValue | undefined {
  try {
    return parseV2Json(text);
  } catch {
    return undefined;
  }
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** An object of the original, as in its API. */
export type OriginalObject = Readonly<{ name: string; fields: JsonObject }>;

/** The contents of an original manager. */
export type Original = Readonly<Record<OriginalNoun, readonly OriginalObject[]>>;

/**
 * The most reads at the same time. The original is one process: at best a few thousand answers per second, four if it
 * checks a user.
 */
const READS = 4;

/** Reads everything from a running original manager. Objects that are deleted meanwhile are left out. */
export async function readOriginal(api: Pick<OriginalApi, "names" | "object">): Promise<Original> {
  const all = async (noun: OriginalNoun): Promise<OriginalObject[]> => {
    const objects = await mapLimited(await api.names(noun), READS, async (name) => ({ name, fields: await api.object(noun, name) }));
    return objects.flatMap(({ name, fields }) => (fields === undefined ? [] : [{ name, fields }]));
  };
  return {
    apps: await all("apps"),
    cron_jobs: await all("cron_jobs"),
    device_groups: await all("device_groups"),
    users: await all("users"),
    user_groups: await all("user_groups"),
  };
}
