import { strict as assert } from "node:assert";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";

type Json = { readonly [name: string]: unknown };

/** The OpenAPI document, and which of the answers that it describes were seen. */
export class OpenApiAnswers {
  readonly #document: Json;
  readonly #prefix: string;
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });
  readonly #seen = new Set<string>();

  constructor(document: Json, prefix: string) {
    this.#document = document;
    this.#prefix = prefix;
    this.#ajv.addSchema(closed(document), "document");
  }

  /**
   * Fails where the document does not say that this may be answered, to the letter: no property that it lacks. Of an operation that the document
   * lacks only the status is looked at.
   */
  check(method: string, path: string, { status, body, headers }: Readonly<{ status: number; body: unknown; headers: Headers }>): void {
    const template = this.#templateOf(path.split("?")[0] ?? "");
    const verb = method === "HEAD" ? "get" : method.toLowerCase();
    const operation = template === undefined ? undefined : at(this.#document, ["paths", template, verb]);
    if (template === undefined || operation === undefined) {
      assert.ok([200, 401, 403, 404, 405, 429].includes(status), `${method} ${path}, which is in no document, answers ${status}`);
      return;
    }
    const described = at(operation, ["responses", String(status)]);
    assert.ok(described, `${method} ${path} answers ${status}, which the document does not say`);
    const content = at(described, ["content"]);
    const types = content === undefined ? [] : Object.keys(content);
    if (method === "HEAD" || types.length === 0) {
      this.#seen.add(`${verb} ${template} ${status}`);
      return;
    }
    const type = (headers.get("content-type") ?? "").split(";")[0] ?? "";
    assert.ok(types.includes(type), `${method} ${path} answers ${status} as ${type}, which the document does not say`);
    if (type !== "application/json") return;
    const pointer = ["paths", template, verb, "responses", String(status), "content", type, "schema"];
    const alternatives = at(this.#document, [...pointer, "anyOf"]);
    const paths = Array.isArray(alternatives) ? alternatives.map((_, index) => [...pointer, "anyOf", String(index)]) : [pointer];
    const matching = paths.filter((candidate) => this.#validator(candidate)(body));
    const [first = pointer] = paths;
    assert.ok(
      matching.length > 0,
      `${method} ${path} answers ${status} ${JSON.stringify(body)}, which is not as the document says: ${this.#ajv.errorsText(this.#validator(first).errors)}`,
    );
    for (const match of matching) this.#seen.add(`${verb} ${template} ${status} ${JSON.stringify(at(this.#document, match))}`);
  }

  /** The answers of an operation that were never seen, in words. */
  unseen(method: string, path: string, answers: readonly Readonly<{ status: number; description: string; schema: unknown }>[]): string[] {
    return answers.flatMap(({ status, description, schema }) => {
      const key = `${method.toLowerCase()} ${this.#prefix}${path} ${status}${schema === undefined ? "" : ` ${JSON.stringify(schema)}`}`;
      return this.#seen.has(key) ? [] : [`${method} ${path}: ${status} ${description}`];
    });
  }

  /** Paths with their methods, as the document has them. */
  get operations(): { method: string; path: string }[] {
    const paths = at(this.#document, ["paths"]);
    assert.ok(paths);
    return Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(Object(methods)).map((method) => ({ method: method.toUpperCase(), path: path.slice(this.#prefix.length) })),
    );
  }

  #validator(pointer: readonly string[]): ValidateFunction {
    const reference = `document#/${pointer.map((part) => encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1"))).join("/")}`;
    return this.#ajv.getSchema(reference) ?? assert.fail(`no schema at ${reference}`);
  }

  #templateOf(path: string): string | undefined {
    const paths = at(this.#document, ["paths"]);
    assert.ok(paths);
    if (!isDecodable(path)) return undefined;
    const parts = `${this.#prefix}${path}`.split("/");
    return Object.keys(paths).find((template) => {
      const wanted = template.split("/");
      return wanted.length === parts.length && wanted.every((want, index) => want === parts[index] || (want.startsWith("{") && parts[index] !== ""));
    });
  }
}

function isDecodable(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}

function at(value: unknown, pointer: readonly string[]): Json | undefined {
  let inner: unknown = value;
  for (const part of pointer) inner = isJson(inner) ? inner[part] : undefined;
  return isJson(inner) ? inner : undefined;
}

function isJson(value: unknown): value is Json {
  return typeof value === "object" && value !== null;
}

/** The document with every object schema closed to properties that it does not name. */
function closed(value: Json): Json {
  const inner = Object.entries(value).map(([name, entry]) => [name, Array.isArray(entry) ? entry.map(closedItem) : closedItem(entry)]);
  const copy = Object.fromEntries(inner);
  return value.type === "object" && "properties" in value ? { ...copy, additionalProperties: false } : copy;
}

function closedItem(value: unknown): unknown {
  return isJson(value) && !Array.isArray(value) ? closed(value) : value;
}
