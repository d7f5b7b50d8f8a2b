import { strict as assert } from "node:assert";
import { ADMIN, startTestServer, type TestServer } from "../../cli/nebulactl/testing/test-server.ts";
import { OpenApiAnswers } from "./openapi-answers.ts";

export const ADMIN_LOGIN = `Basic ${Buffer.from(`${ADMIN.user}:${ADMIN.password}`).toString("base64")}`;

/** The response, its body parsed where it is JSON. */
export type V2Response = Readonly<{ status: number; body: unknown; text: string; headers: Headers }>;

export type V2Request = Readonly<{
  /** JSON, or bytes as they are. Without it there is no body. */
  body?: unknown;
  raw?: string | Uint8Array<ArrayBuffer>;
  /** undefined: that of the admin; null: none. */
  authorization?: string | null;
  headers?: Readonly<Record<string, string>>;
}>;

/** REST v2 of a whole server in this process. Every answer is held against the OpenAPI document. */
export class V2Client {
  #server: TestServer | undefined;
  #answers: OpenApiAnswers | undefined;

  /** Hooks a server of its own into the suite that is being described. */
  static describe(): V2Client {
    const client = new V2Client();
    before(async () => {
      client.#server = await startTestServer();
      const { text } = await client.#send("GET", "/openapi.json", {});
      client.#answers = new OpenApiAnswers(JSON.parse(text), "/api/v2");
    });
    after(async () => {
      await client.#server?.[Symbol.asyncDispose]();
    });
    return client;
  }

  get url(): string {
    return this.#server?.http ?? assert.fail("the server is not up");
  }

  /** The OpenAPI document, and what was seen of it. */
  get answers(): OpenApiAnswers {
    return this.#answers ?? assert.fail("the server is not up");
  }

  async send(method: string, path: string, request: V2Request = {}): Promise<V2Response> {
    const response = await this.#send(method, path, request);
    this.answers.check(method, path, response);
    return response;
  }

  async #send(method: string, path: string, { body, raw, authorization = ADMIN_LOGIN, headers = {} }: V2Request): Promise<V2Response> {
    const sent = raw ?? (body === undefined ? undefined : JSON.stringify(body));
    const response = await fetch(`${this.url}/api/v2${path}`, {
      method,
      headers: { ...(authorization === null ? {} : { authorization }), ...headers },
      ...(sent === undefined ? {} : { body: new Blob([sent]) }), // without a type, so that fetch adds none
    });
    const text = await response.text();
    const isJson = (response.headers.get("content-type") ?? "").startsWith("application/json");
    return { status: response.status, body: isJson && text !== "" ? JSON.parse(text) : undefined, text, headers: response.headers };
  }
}

/** A Basic login. */
export function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
}
