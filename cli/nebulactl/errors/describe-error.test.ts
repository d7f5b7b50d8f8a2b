import { strict as assert } from "node:assert";
import { Code, ConnectError } from "@connectrpc/connect";
import { invalidArgument, NebulaError } from "../../../common/errors/nebula-error.ts";
import { BadRequestSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import type { Login } from "../session/resolve-login.ts";
import { describeError } from "./describe-error.ts";

const LOGIN: Login = {
  server: { protocol: "http", host: "gateway", port: 8080 },
  serverFrom: 'profile "prod"',
  credentials: { kind: "password", user: "ci", password: "s3cr3t" },
  credentialsFrom: 'profile "prod"',
};

const described = (error: unknown, login: Login | undefined, changing = false) => describeError(error, login, { changing });

const wire = (code: string) => new ConnectError("x", Code.Unavailable, undefined, undefined, Object.assign(new Error(`why ${code}`), { code }));

describe("an error for a user", () => {
  it("an error is the server's own sentence", () => {
    assert.deepEqual(described(new ConnectError('there is no app "web"', Code.NotFound), LOGIN), ['there is no app "web"']);
    assert.deepEqual(described(new NebulaError("invalid_argument", "--x is wrong"), undefined), ["--x is wrong"]);
    assert.deepEqual(described(new TypeError("surprise"), LOGIN), ["unhandled error: surprise; --debug shows where it happened"]);
  });

  it("an error has a line for each violation where there are several", () => {
    const fieldViolations = [
      { field: "docker_image", description: "is missing" },
      { field: "name", description: "is too long" },
    ];
    const several = ["2 fields are invalid:", "  docker_image: is missing", "  name: is too long"];
    assert.deepEqual(
      described(new ConnectError("m", Code.InvalidArgument, undefined, [{ desc: BadRequestSchema, value: { fieldViolations } }]), LOGIN),
      several,
    );
    assert.deepEqual(described(invalidArgument(fieldViolations), LOGIN), several);
    assert.deepEqual(described(invalidArgument(fieldViolations.slice(0, 1)), LOGIN), ["docker_image: is missing"]);
  });

  it("an error of a login says what to do, and never shows a secret", () => {
    const refused = new ConnectError("wrong user or password", Code.Unauthenticated);
    assert.deepEqual(described(refused, LOGIN), [
      'http://gateway:8080 refused user "ci" (from profile "prod"): wrong user or password; log in again with nebulactl login --server http://gateway:8080',
    ]);
    assert.match(
      described(refused, { ...LOGIN, credentials: undefined })[0] ?? "",
      /requires a login, and none is stored for it; use nebulactl login --server http:\/\/gateway:8080/,
    );
  });

  it("an error of an unreachable server says which, why, and where its address comes from", () => {
    const said = (code: string, login = LOGIN) => described(wire(code), login)[0] ?? "";
    assert.match(said("ECONNREFUSED"), /nothing answers at http:\/\/gateway:8080 \(from profile "prod"\): start the server, or use another/);
    assert.match(said("ENOTFOUND"), /unknown host "gateway" of http:\/\/gateway:8080 \(from profile "prod"\)/);
    assert.match(said("ECONNRESET"), /closed the connection before it answered/);
    assert.match(said("CERT_HAS_EXPIRED"), /certificate of http:\/\/gateway:8080 is not trusted \(why CERT_HAS_EXPIRED\)/);
    assert.match(said("HPE_INVALID_CONSTANT"), /if it is a manager, use grpc:\/\/gateway:8080/);
    assert.match(
      said("ERR_HTTP2_ERROR", { ...LOGIN, server: { protocol: "grpc", host: "gateway", port: 8080 } }),
      /if it is a gateway, use http:\/\/gateway:8080/,
    );
    for (const answer of ["HTTP 404", "unsupported content type text/html"]) {
      assert.deepEqual(described(new ConnectError(answer, Code.Unimplemented), LOGIN), [
        `http://gateway:8080 gave an unexpected answer (${answer}); check that this is the address of a Nebula server, and any proxy before it`,
      ]);
    }
    assert.match(described(new ConnectError("", Code.DeadlineExceeded), LOGIN)[0] ?? "", /http:\/\/gateway:8080 did not answer in time; retry$/);
  });

  it("an error says that an outcome is unknown only where something may have been changed", () => {
    for (const error of [new ConnectError("", Code.DeadlineExceeded), wire("ECONNRESET")]) {
      assert.doesNotMatch(described(error, LOGIN)[0] ?? "", /not known/);
      assert.match(described(error, LOGIN, true)[0] ?? "", /the change may have been stored/);
    }
  });

  it("an error of the system has plain words", () => {
    const refused = Object.assign(new Error("EACCES: permission denied, open '/x'"), { code: "EACCES", path: "/x" });
    assert.match(described(refused, undefined)[0] ?? "", /^\/x can't be used: user \S+ \(uid \d+\) has no permission$/);
  });
});
