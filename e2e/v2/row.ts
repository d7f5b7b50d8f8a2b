import { strict as assert } from "node:assert";
import type { V2Client, V2Request } from "./v2-client.ts";

/** A call: method, path, and what else it has. `~web` in a path, a body or an answer stands for a name of this row alone. */
export type RowCall = readonly [method: string, path: string, body?: unknown, request?: V2Request];

/** One row of v2's tables: what was done before, the call, its status and its whole answer but for `_id`. */
export type Row = Readonly<{
  it: string;
  given?: readonly RowCall[];
  call: RowCall;
  status: number;
  /** The whole body. */
  answer?: unknown;
  /** In its place where the body can't be told beforehand. */
  holds?(body: unknown): void;
}>;

let rows = 0;

/** Describes each row as a test. */
export function describeRows(client: V2Client, table: readonly Row[]): void {
  for (const row of table) {
    it(row.it, async () => {
      const suffix = `${rows++}`;
      const send = ([method, path, body, request = {}]: RowCall) =>
        client.send(method, textOf(path, suffix), { ...request, ...(body === undefined ? {} : { body: filled(body, suffix) }) });
      for (const call of row.given ?? []) {
        const { status, text } = await send(call);
        assert.ok(status < 300, `${call[0]} ${call[1]}: ${status} ${text}`);
      }
      const { status, body, text } = await send(row.call);
      assert.equal(status, row.status, text);
      if (row.holds !== undefined) row.holds(named(withoutId(body), suffix));
      else assert.deepEqual(withoutId(body), filled(row.answer, suffix));
    });
  }
}

/** The body without its `_id`s, each of which has to be one. */
export function withoutId(body: unknown): unknown {
  if (Array.isArray(body)) return body.map(withoutId);
  if (typeof body !== "object" || body === null) return body;
  const entries = Object.entries(body).flatMap(([name, value]) => {
    if (name !== "_id") return [[name, withoutId(value)]];
    assert.match(String(value.$oid), /^[0-9a-f]{24}$/);
    return [];
  });
  return Object.fromEntries(entries);
}

function textOf(text: string, suffix: string): string {
  return text.replace(/~(\w+)/g, (_, name) => `${name}-${suffix}`);
}

function filled(value: unknown, suffix: string): unknown {
  return value === undefined ? undefined : JSON.parse(textOf(JSON.stringify(value), suffix));
}

/** The names of the row as the row writes them. */
function named(value: unknown, suffix: string): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value).replaceAll(new RegExp(`"([a-z]+)-${suffix}"`, "g"), '"~$1"'));
}
