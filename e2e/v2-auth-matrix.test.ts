import { strict as assert } from "node:assert";
import { CALLERS, type Headers, UNKNOWN } from "./auth-matrix/cast.ts";
import { openStage, type Stage } from "./auth-matrix/stage.ts";
import { expectedOfV2, V2_TABLE, type V2Call } from "./auth-matrix/v2-table.ts";

describe("who may call what of REST v2", () => {
  const stack = new AsyncDisposableStack();
  let opened: Stage | undefined;
  before(async () => {
    opened = stack.use(await openStage());
  });
  after(() => stack.disposeAsync());

  const stage = () => opened ?? assert.fail("the stage is not open");
  const send = ([method, path, body]: V2Call, headers: Headers) =>
    fetch(`${stage().gatewayUrl}/api/v2${path}`, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });

  /** The status, and of a refusal what it is about. */
  async function answerTo(call: V2Call, headers: Headers): Promise<string> {
    const response = await send(call, headers);
    const text = await response.text();
    if (response.status < 400 || response.status === 401) return String(response.status);
    return `${response.status} ${Object.keys(JSON.parse(text))[0]}`;
  }

  it("the matrix has every operation that the OpenAPI document has", async () => {
    const response = await send(["GET", "/openapi.json"], stage().cast.headersOf("local_admin"));
    const { paths } = await response.json();
    const operations = Object.values(paths).flatMap((methods) => Object.values(Object(methods)).map((operation) => Object(operation).operationId));
    assert.deepEqual(
      new Set(V2_TABLE.map(({ operation }) => operation)),
      new Set(operations),
      "a new operation needs a row in e2e/auth-matrix/v2-table.ts",
    );
  });

  for (const row of V2_TABLE) {
    it(`${row.operation}: ${row.call[0]} ${row.call[1]}`, async () => {
      const { cast, clock } = stage();
      const answers: Record<string, string> = {};
      const wanted: Record<string, string> = {};
      for (const caller of CALLERS) {
        for (const call of row.before) await (await send(call, cast.headersOf("local_admin"))).arrayBuffer();
        answers[caller] = await answerTo(row.call, cast.headersOf(caller));
        wanted[caller] = expectedOfV2(row, caller);
        if (UNKNOWN.has(caller)) clock.forget();
      }
      assert.deepEqual(answers, wanted);
    });
  }
});
