/** The longest line that is kept, characters; the engine's own lines are far below. */
const LONGEST_LINE = 1_000_000;

/**
 * The JSON values of a stream of lines, as `/events` and a pull send them. What is no JSON is left out. A line that never ends is dropped, so memory
 * has a bound; whoever reads slowly slows the stream down.
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
