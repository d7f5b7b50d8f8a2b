import { isNebulaError, messageOf, NebulaError } from "../../../common/errors/nebula-error.ts";
import { recordOf, textOf } from "../json.ts";

/** Node's error codes for an engine that cannot be reached. */
const CONNECTION_CODES = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ENOENT",
  "EACCES",
  "EPIPE",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTSOCK",
  "EAGAIN",
]);

/** The HTTP status that the engine answered with; undefined when it did not answer. */
export function statusOf(error: unknown): number | undefined {
  return error instanceof Error && "statusCode" in error && typeof error.statusCode === "number" ? error.statusCode : undefined;
}

/** The NebulaError that a failed call to the engine stands for; the engine's own words are the message. `where` names the engine. */
export function errorFromDocker(error: unknown, where: string): NebulaError {
  if (isNebulaError(error)) return error;
  const status = statusOf(error);
  if (status !== undefined) return refusal(status, wordsOf(error), error);
  if (error instanceof Error && "code" in error && typeof error.code === "string" && CONNECTION_CODES.has(error.code)) {
    return new NebulaError("unavailable", `the Docker Engine at ${where} cannot be reached: ${error.message}`, { cause: error });
  }
  if (/socket hang up|aborted|premature close/i.test(messageOf(error))) {
    return new NebulaError("unavailable", `the Docker Engine at ${where} ended the connection: ${messageOf(error)}`, { cause: error });
  }
  return new NebulaError("internal", `the Docker Engine at ${where}: ${messageOf(error)}`, { cause: error });
}

function refusal(status: number, words: string, cause: unknown): NebulaError {
  if (/already in use by container|already exists in network/i.test(words) || says(words, "network with name ", " already exists")) {
    return new NebulaError("already_exists", words, { cause });
  }
  if (status === 400) return new NebulaError("invalid_argument", words, { cause });
  if (status === 404) return new NebulaError("not_found", words, { cause });
  return new NebulaError("failed_precondition", words, { cause });
}

/** Whether words of the engine hold both of these, the second after the first; case does not matter. */
export function says(words: string, first: string, second: string): boolean {
  const lower = words.toLowerCase();
  const at = lower.indexOf(first);
  return at >= 0 && lower.indexOf(second, at + first.length) >= 0;
}

/** Returns the words of the engine, without those that the client put around them. */
function wordsOf(error: unknown): string {
  const json = error instanceof Error && "json" in error ? recordOf(error.json) : {};
  return (
    textOf(json.message).trim() ||
    messageOf(error)
      .replace(/^\(HTTP code \d+\) (?:unexpected|undefined) - /, "")
      .trim()
  );
}

/**
 * The NebulaError that a failed pull stands for, by the words of the registry or the engine: `unauthenticated`,
 * `not_found` (an image for this platform included), `resource_exhausted` (no space on the disk), else
 * `failed_precondition`.
 */
export function pullError(words: string, cause?: unknown): NebulaError {
  const options = cause === undefined ? {} : { cause };
  if (/no basic auth credentials|unauthorized|authentication required|incorrect username or password|access denied|denied: /i.test(words)) {
    return new NebulaError("unauthenticated", words, options);
  }
  if (/no space left on device|disk quota exceeded/i.test(words)) return new NebulaError("resource_exhausted", words, options);
  if (/manifest unknown|no matching manifest|no match for platform|not found|does not exist/i.test(words))
    return new NebulaError("not_found", words, options);
  return new NebulaError("failed_precondition", words, options);
}

/** Values this long, in characters, are taken out of messages wherever they stand; shorter ones only behind their names: the engine's words are full of short ones. */
const TELLING_LENGTH = 6;

/** The same error without values of env: the engine repeats a variable that it refuses, as it is or quoted, and messages get into reports. */
export function withoutEnvValues(error: unknown, env: Readonly<Record<string, string>>): unknown {
  if (!isNebulaError(error)) return error;
  // the longest first: one value may be a part of another
  const variables = Object.entries(env).sort(([, a], [, b]) => b.length - a.length);
  const message = variables.reduce((text, [name, value]) => withoutValue(text, name, value), error.message);
  return message === error.message ? error : new NebulaError(error.kind, message);
}

/** A text of the engine's, or of a container's, without the values of env lines (`NAME=value`). */
export function textWithoutEnv(text: string, env: readonly string[]): string {
  const variables = env.map((line): [string, string] => [line.split("=", 1)[0] ?? "", line.slice(line.indexOf("=") + 1)]);
  return variables.sort(([, a], [, b]) => b.length - a.length).reduce((rest, [name, value]) => withoutValue(rest, name, value), text);
}

function withoutValue(text: string, name: string, value: string): string {
  if (value === "") return text;
  const forms = [value, JSON.stringify(value).slice(1, -1)];
  return forms.reduce((rest, form) => {
    const named = rest.replaceAll(`${name}=${form}`, `${name}=...`);
    return value.length < TELLING_LENGTH ? named : named.replaceAll(form, "...");
  }, text);
}
