import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { authorizationOf } from "../../../common/access/authorization.ts";
import { isNebulaError, messageOf, NebulaError } from "../../../common/errors/nebula-error.ts";
import type { Credentials, ServerUrl } from "../../../common/settings/settings.ts";
import { utf8Text } from "../../../common/text/utf8.ts";
import { parseV2Json } from "../../../common/v2/parse-json.ts";
import { formatServerUrl } from "../login/server-url.ts";

/** One answer may take this long, milliseconds: a stored user costs the original a bcrypt at every call. */
const TIMEOUT_MS = 60_000;
/** The most that one answer may hold, bytes. */
const LARGEST_ANSWER = 64 * 2 ** 20;

/** The nouns of the original's REST API, and what its lists and single answers call them. */
export type OriginalNoun = "apps" | "cron_jobs" | "device_groups" | "users" | "user_groups";

/**
 * The REST API v2 of a running original manager, read only.
 * Rejects with NebulaError: unauthenticated and permission_denied where the login does not do, unavailable where it can't be reached, failed_precondition where
 * something else answers.
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

  /** One object; undefined: it has gone since the list was read. */
  async object(noun: OriginalNoun, name: string): Promise<JsonObject | undefined> {
    const path = `${noun}/${encodeURIComponent(name)}`;
    try {
      const answer = await this.#get(path);
      if (!isObject(answer)) throw this.#foreign(path, "is no JSON object");
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
        if (body === undefined) throw this.#foreign(path, "is no JSON");
        return body;
      case 401:
        throw new NebulaError("unauthenticated", `${this.#base} refuses the login: give --from-user and --from-password-file, or --from-token-file`);
      case 403:
        if (isObject(body) && Object.entries(body).some(([key, value]) => key.endsWith("_exists") && value === false)) {
          throw new NebulaError("not_found", `${url} is not there`);
        }
        throw new NebulaError("permission_denied", `${url} is refused to this login: an import needs an admin of the old manager`);
      default:
        throw this.#foreign(path, `was answered with status ${response.status}`);
    }
  }

  #foreign(path: string, what: string): NebulaError {
    return new NebulaError("failed_precondition", `${this.#base}/${path} ${what}: is this a manager of the original Nebula, API v2?`);
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
