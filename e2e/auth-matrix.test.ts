import { strict as assert } from "node:assert";
import { globSync } from "node:fs";
import { resolve } from "node:path";
import type { DescService } from "@bufbuild/protobuf";
import { pathOf } from "../common/rpc/service-definition.ts";
import { ruleOf } from "../manager/access/rights/method-table.ts";
import { CALLERS, UNKNOWN } from "./auth-matrix/cast.ts";
import { openStage, type Stage } from "./auth-matrix/stage.ts";
import { expected, TABLE } from "./auth-matrix/table.ts";
import { connectTransport, grpcTransport, type Transport } from "./auth-matrix/transports.ts";

/** Every method of every service, found in the generated code, not in a table. */
async function pathsOfAllMethods(): Promise<string[]> {
  const paths: string[] = [];
  for (const file of globSync("gen/**/*_pb.ts")) {
    const module: Record<string, unknown> = await import(resolve(file));
    for (const value of Object.values(module)) if (isService(value)) paths.push(...value.methods.map(pathOf));
  }
  return paths;
}

function isService(value: unknown): value is DescService {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "service";
}

describe("who may call what", () => {
  const stack = new AsyncDisposableStack();
  let stage: Stage | undefined;
  const transports = new Map<string, Transport>();

  before(async () => {
    stage = stack.use(await openStage());
    transports.set("gRPC", stack.use(grpcTransport(stage.grpcPort)));
    transports.set("Connect", connectTransport(stage.gatewayUrl));
  });
  after(() => stack.disposeAsync());

  it("the matrix has every method that exists and that has a rule", async () => {
    const described = new Set(TABLE.map(({ method }) => pathOf(method)));
    const missing = (await pathsOfAllMethods()).filter((path) => !described.has(path));
    assert.deepEqual(missing, [], "a new method needs a row in e2e/auth-matrix/table.ts");
    assert.deepEqual(
      TABLE.filter(({ method }) => ruleOf(method) === undefined),
      [],
    );
  });

  for (const name of ["gRPC", "Connect"]) {
    describe(`by ${name}`, () => {
      for (const row of TABLE) {
        it(`${row.method.parent.name}.${row.method.name}${row.about === "" ? "" : `, ${row.about}`}`, async () => {
          assert.ok(stage !== undefined);
          const transport = transports.get(name) ?? assert.fail();
          if (!transport.serves(row.method)) return;
          const answers: Record<string, string> = {};
          const wanted: Record<string, string> = {};
          for (const caller of CALLERS) {
            const request = await row.request(stage.cast);
            answers[caller] = await transport.call(row.method, request, stage.cast.headersOf(caller), row.then);
            wanted[caller] = expected(row, transport.callerHere(caller));
            if (UNKNOWN.has(caller)) stage.clock.forget();
          }
          assert.deepEqual(answers, wanted);
        });
      }
    });
  }
});
