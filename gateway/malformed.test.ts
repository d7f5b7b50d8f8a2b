import { strict as assert } from "node:assert";
import fc from "fast-check";
import type { RunningGateway } from "./main.ts";
import { app, gatewayFor, post } from "./testing/gateway-fixture.ts";
import { type Answers, StandInManager } from "./testing/stand-in-manager.ts";

const PATHS = [
  "/nebula.v1.AppService/CreateApp",
  "/nebula.v1.AppService/GetApp",
  "/nebula.v1.ConfigService/WatchConfig",
  "/nebula.v1.ConfigService/WatchAndReport",
];
const TYPES = [
  "application/json",
  "application/proto",
  "application/connect+json",
  "application/connect+proto",
  "application/grpc-web+proto",
  "application/grpc-web+json",
  "text/plain",
];

/** Something between a request and noise: JSON, bytes, and either behind an envelope whose length may be wrong. */
const body = fc.oneof(
  fc.json().map((text) => Buffer.from(text)),
  fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
  fc.tuple(fc.nat(3), fc.nat(80), fc.oneof(fc.uint8Array({ maxLength: 64 }), fc.constant(Buffer.from("{}")))).map(([flags, length, bytes]) => {
    const head = Buffer.alloc(5);
    head.writeUInt8(flags);
    head.writeUInt32BE(length, 1);
    return Buffer.concat([head, bytes]);
  }),
);

const LONG = process.env.NEBULA_TEST_LONG === "1";

describe("gateway and malformed requests", function () {
  this.timeout(LONG ? 900_000 : 60_000);
  let manager: StandInManager;
  let gateway: RunningGateway;
  before(async () => {
    const answers: Answers = {
      createApp: async () => ({ app }),
      getApp: async () => ({ app }),
      watchConfig: async function* () {
        yield { answer: { case: "unchanged", value: {} } };
      },
    };
    manager = await StandInManager.start(answers);
    gateway = await gatewayFor([manager]);
  });
  after(async () => {
    await gateway.stop();
    await manager[Symbol.asyncDispose]();
  });

  it("the gateway never answers an internal error, for any input", async () => {
    const headers = fc.record(
      {
        "connect-timeout-ms": fc.oneof(fc.constantFrom("-1", "1e9", "99999999999", "x", "1000"), fc.nat().map(String)),
        "content-encoding": fc.constantFrom("gzip", "br", "identity", "nonsense"),
        "connect-content-encoding": fc.constantFrom("gzip", "identity"),
        "connect-protocol-version": fc.constantFrom("1", "2"),
        "grpc-timeout": fc.constantFrom("1S", "x", "99999999999S"),
        authorization: fc.constantFrom("", "Basic", "Bearer x y z", "Basic !!!"),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...PATHS), fc.constantFrom(...TYPES), headers, body, async (path, type, given, sent) => {
        const response = await post(gateway, path, new Uint8Array(sent), { ...given, "content-type": type });
        const text = Buffer.from(await response.arrayBuffer()).toString("latin1");
        // 501: an encoding that is not spoken here; 504: a deadline of next to nothing
        assert.ok(response.status < 500 || response.status === 501 || response.status === 504, `${response.status} ${text}`);
        assert.doesNotMatch(text, /"code":"(internal|unknown)"|grpc-status: (2|13)\b/);
      }),
      { numRuns: LONG ? 20_000 : 400 },
    );
  });
});
