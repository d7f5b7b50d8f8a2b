import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { parseImageReference } from "../../../common/validation/container/image-reference.ts";
import type { RegistryLogin } from "../container-runtime.ts";
import { recordOf, textOf } from "../json.ts";

/** The query of `POST /images/create`; throws `invalid_argument` if the reference is not valid. */
export function pullQuery(reference: string): { fromImage: string; tag: string } {
  const parsed = parseImageReference(reference);
  if (parsed.kind === "invalid") throw new NebulaError("invalid_argument", parsed.reason);
  const { registry, repository, tag, digest } = parsed.image;
  return { fromImage: `${registry}/${repository}`, tag: digest ?? tag ?? "latest" };
}

/** Returns a login as the engine takes it in X-Registry-Auth; undefined without one. */
export function authConfig(login: RegistryLogin | undefined): Record<string, string> | undefined {
  if (login === undefined) return undefined;
  if ("identityToken" in login) return { identitytoken: login.identityToken, serveraddress: login.registry };
  return { username: login.username, password: login.password, serveraddress: login.registry };
}

/**
 * The engine's words for why a pull failed, which come as a line like any other, after an answer 200; undefined for
 * another line.
 */
export function pullLineError(line: unknown): string | undefined {
  const { error, errorDetail } = recordOf(line);
  return textOf(recordOf(errorDetail).message) || textOf(error) || undefined;
}

/** The longest line that is kept, characters; the engine's own lines are far below. */
const LONGEST_LINE = 1_000_000;

/**
 * The JSON values of a stream of lines, as `/events` and a pull send them. Text that is not JSON is left out. A line that never ends is dropped, so memory
 * has a bound; a slow reader slows the stream down.
 */
export async function* jsonLines(chunks: AsyncIterable<unknown>): AsyncGenerator<unknown, void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunks) {
    rest += chunk instanceof Uint8Array ? decoder.decode(chunk, { stream: true }) : String(chunk);
    const lines = rest.split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > LONGEST_LINE) rest = "";
    for (const line of lines) yield* parsed(line);
  }
  yield* parsed(rest);
}

/** RFC 7464 puts a record separator before each value. */
function* parsed(line: string): Generator<unknown, void> {
  const text = line.replaceAll("\u001e", "").trim();
  if (text === "") return;
  try {
    yield JSON.parse(text);
  } catch {
    // half a line of a broken connection, or a proxy's page: what matters is that the stream ends
  }
}
