import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import type { DescMethod } from "@bufbuild/protobuf";
import fc from "fast-check";
import { pathOf } from "../common/rpc/service-definition.ts";
import { API_SERVICES } from "../gateway/api/forwarder.ts";
import { Server } from "./harness/server.ts";
import { nearlyBytes, nearlyJson } from "./malformed/arbitrary-message.ts";
import { type Answer, GrpcDoor, HttpDoor } from "./malformed/doors.ts";
import { v2Request } from "./malformed/v2-requests.ts";

const LONG = process.env.NEBULA_TEST_LONG === "1";
/** Requests through each of the three doors: 5,000 and 100,000 in all. */
const REQUESTS = LONG ? 33_400 : 1_700;

const INTERNAL = 13;
const UNKNOWN = 2;

const METHODS: readonly DescMethod[] = API_SERVICES.flatMap(({ methods }) => methods);
const method = fc.constantFrom(...METHODS);

/** A message behind gRPC's prefix: its flag and its length may be wrong, and there may be none, or several. */
const framed = (message: fc.Arbitrary<Uint8Array>) =>
  fc
    .tuple(
      message,
      fc.oneof({ weight: 12, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(255) }),
      fc.oneof({ weight: 12, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: -9, max: 9 }) }),
      fc.constantFrom(1, 1, 1, 1, 0, 2),
    )
    .map(([bytes, flag, off, times]) => {
      const head = Buffer.alloc(5);
      head.writeUInt8(flag);
      head.writeUInt32BE(Math.max(0, bytes.length + off), 1);
      return Buffer.concat(Array.from({ length: times }, () => Buffer.concat([head, bytes])));
    });

describe("malformed requests", function () {
  this.timeout(LONG ? 3_600_000 : 180_000);
  let server: Server;
  let authorization: string;
  before(async () => {
    server = await Server.start();
    authorization = server.api.headers.authorization ?? "";
  });
  after(() => server[Symbol.asyncDispose]());

  const seed = Number(process.env.NEBULA_TEST_SEED ?? Date.now() % 2 ** 31);
  const checked = async <T>(what: string, arbitrary: fc.Arbitrary<T>, check: (value: T) => Promise<void>) => {
    console.log(`      ${REQUESTS} requests over ${what}, seed ${seed}: again by NEBULA_TEST_SEED=${seed}`);
    const warmUp = Math.ceil(REQUESTS / 5);
    await fc.assert(fc.asyncProperty(arbitrary, check), { numRuns: warmUp, seed });
    const before = residentMb(server.program.child.pid);
    await fc.assert(fc.asyncProperty(arbitrary, check), { numRuns: REQUESTS - warmUp, seed: seed + 1 });
    const after = residentMb(server.program.child.pid);
    console.log(`      ${before} MB after the first ${warmUp}, ${after} MB after all`);
    assert.ok(!server.program.ended, server.program.output);
    // A short run ends before the heap has found its size; in a long one nothing may be left to grow.
    const most = LONG ? before * 1.25 + 40 : before * 1.5 + 100;
    assert.ok(after < most, `the server grew from ${before} to ${after} MB`);
  };
  const headers = () => fc.constantFrom<Readonly<Record<string, string>>>({ authorization }, { authorization }, { authorization }, {});

  it("malformed requests over gRPC are never the server's fault", async () => {
    using door = new GrpcDoor(server.grpcPort);
    const more = fc.record(
      {
        "grpc-encoding": fc.constantFrom("identity", "gzip", "deflate", "nonsense"),
        "grpc-timeout": fc.constantFrom("1S", "500m", "0n", "99999999H", "-1S", "x", ""),
        "x-request-id": fc.constantFrom("a", "b c", "ä".repeat(3).replaceAll("ä", "x")),
      },
      { requiredKeys: [] },
    );
    const request = fc
      .oneof({ weight: 3, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: more })
      .chain((extra) =>
        fc
          .tuple(method, headers(), fc.constant<Readonly<Record<string, string>>>(extra))
          .chain(([called, login, given]) => fc.tuple(fc.constant(called), fc.constant({ ...login, ...given }), framed(nearlyBytes(called.input)))),
      );
    await checked("gRPC", request, async ([called, given, body]) => {
      const answer = await door.send(pathOf(called), given, body);
      if (isGrpcJsOwnFault(answer, given, body)) return;
      assert.ok(answer.status < 500, show(called, answer));
      assert.ok(answer.grpcStatus !== INTERNAL && answer.grpcStatus !== UNKNOWN, show(called, answer));
    });
  });

  it("malformed requests over Connect JSON are never the server's fault", async () => {
    using door = new HttpDoor(server.httpPort);
    const json = (called: DescMethod) =>
      fc.oneof(
        { weight: 8, arbitrary: nearlyJson(called.input).map((value) => JSON.stringify(value)) },
        { weight: 1, arbitrary: fc.json() },
        { weight: 1, arbitrary: fc.string() },
      );
    const type = fc.constantFrom(
      "application/json",
      "application/json",
      "application/json; charset=utf-8",
      "application/connect+json",
      "application/proto",
      "text/plain",
    );
    const request = method.chain((called) => fc.tuple(fc.constant(called), headers(), type, json(called)));
    await checked("Connect JSON", request, async ([called, login, contentType, body]) => {
      const answer = await door.send("POST", pathOf(called), { ...login, "content-type": contentType }, Buffer.from(body));
      assertNoFault(answer, show(called, answer));
      assert.doesNotMatch(answer.text, /"code":"(internal|unknown)"/, show(called, answer));
    });
  });

  it("malformed requests over REST v2 are never the server's fault", async () => {
    using door = new HttpDoor(server.httpPort);
    await checked("REST v2", fc.tuple(headers(), v2Request), async ([login, { method, path, body, contentType }]) => {
      const type: Record<string, string> = contentType === undefined ? {} : { "content-type": contentType };
      const answer = await door.send(method, path, { ...login, ...type }, Buffer.from(body));
      assertNoFault(answer, `${method} ${path}: ${answer.status} ${answer.text}`);
    });
  });
});

/** 501: not spoken here; 503: not now. Neither is a fault. */
function assertNoFault({ status }: Answer, message: string): void {
  assert.ok(status < 500 || status === 501 || status === 503, message);
}

/** The two cases in which grpc-js itself answers INTERNAL: compression that is corrupt, and a grpc-timeout that is malformed. */
function isGrpcJsOwnFault({ grpcStatus }: Answer, headers: Readonly<Record<string, string>>, body: Uint8Array): boolean {
  if (grpcStatus !== INTERNAL) return false;
  const timeout = headers["grpc-timeout"];
  if (timeout !== undefined && !/^\d{1,8}[HMSmun]$/.test(timeout)) return true;
  return body.length > 0 && body[0] !== 0;
}

function show(method: DescMethod, { status, grpcStatus, text }: Answer): string {
  return `${pathOf(method)}: ${status} ${grpcStatus ?? ""} ${text}`;
}

/** Resident memory of a process, MB. */
function residentMb(pid: number | undefined): number {
  return Math.round(Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024);
}
