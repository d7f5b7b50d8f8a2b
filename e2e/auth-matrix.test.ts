import { strict as assert } from "node:assert";
import { globSync } from "node:fs";
import { resolve } from "node:path";
import type { DescService } from "@bufbuild/protobuf";
import { Registry } from "prom-client";
import type { Clock } from "../common/clock/clock.ts";
import { systemClock } from "../common/clock/system-clock.ts";
import { silentLog } from "../common/log/log.ts";
import { pathOf } from "../common/rpc/service-definition.ts";
import { startGateway } from "../gateway/main.ts";
import { ruleOf } from "../manager/access/method-table.ts";
import { startManagerRig, TEST_SECRETS } from "../manager/testing/manager-rig.ts";
import { assembleCast, CALLERS, type CallerName, type Cast } from "./auth-matrix/cast.ts";
import { type Row, TABLE } from "./auth-matrix/table.ts";
import { connectTransport, grpcTransport, type Transport } from "./auth-matrix/transports.ts";

/** Those whom nobody knows. */
const UNKNOWN: ReadonlySet<CallerName> = new Set(["anonymous", "wrong_password", "wrong_token", "revoked_device"]);

/** What a caller is answered by a row of the table. */
function expected({ who, answer, hiddenFrom }: Row, caller: CallerName): string {
  if (who === "everybody") return answer;
  if (UNKNOWN.has(caller)) return "UNAUTHENTICATED";
  if (who.includes(caller)) return answer;
  return hiddenFrom.includes(caller) ? "NOT_FOUND" : "PERMISSION_DENIED";
}

/** A clock whose monotonic time a test can have run ahead, so that its many failed logins are forgotten: they are not what it is about. */
function forgettingClock(): Clock & { forget(): void } {
  let aheadMs = 0;
  return {
    now: () => systemClock.now(),
    monotonic: () => systemClock.monotonic() + aheadMs,
    sleep: (ms, signal) => systemClock.sleep(ms, signal),
    forget() {
      aheadMs += 3_600_000;
    },
  };
}

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
  const clock = forgettingClock();
  let cast: Cast | undefined;
  const transports = new Map<string, Transport>();

  before(async () => {
    const rig = stack.use(await startManagerRig({ clock }));
    cast = await assembleCast(rig);
    const settings = {
      httpListen: { host: "127.0.0.1", port: 0 },
      grpcListen: { host: "127.0.0.1", port: rig.port },
      managers: [{ protocol: "grpc", host: "127.0.0.1", port: rig.port } as const],
      authEnabled: true,
    };
    const { clusterKey } = TEST_SECRETS;
    const gateway = stack.use(
      await startGateway({
        settings,
        secrets: { clusterKey },
        changeFeed: rig.drivers.changeFeed,
        clock: systemClock,
        log: silentLog,
        registry: new Registry(),
        stopMs: 2000,
      }),
    );
    transports.set("gRPC", stack.use(grpcTransport(rig.port)));
    transports.set("Connect", connectTransport(`http://127.0.0.1:${gateway.address.port}`));
  });
  after(() => stack.disposeAsync());

  it("is said here of every method that there is, and that has a rule", async () => {
    const expectedOf = new Set(TABLE.map(({ method }) => pathOf(method)));
    const all = await pathsOfAllMethods();
    assert.deepEqual(
      all.filter((path) => !expectedOf.has(path)),
      [],
      "a new method needs a row in e2e/auth-matrix/table.ts",
    );
    assert.deepEqual(
      TABLE.filter(({ method }) => ruleOf(method) === undefined),
      [],
    );
  });

  for (const name of ["gRPC", "Connect"]) {
    describe(`by ${name}`, () => {
      for (const row of TABLE) {
        it(`${row.method.parent.name}.${row.method.name}${row.about === "" ? "" : `, ${row.about}`}`, async () => {
          const transport = transports.get(name) ?? assert.fail();
          if (!transport.serves(row.method)) return;
          assert.ok(cast !== undefined);
          const answers: Record<string, string> = {};
          const wanted: Record<string, string> = {};
          for (const caller of CALLERS) {
            const request = await row.request(cast);
            answers[caller] = await transport.call(row.method, request, cast.headersOf(caller));
            wanted[caller] = expected(row, transport.callerHere(caller));
            if (UNKNOWN.has(caller)) clock.forget();
          }
          assert.deepEqual(answers, wanted);
        });
      }
    });
  }
});
