import { strict as assert } from "node:assert";
import { Code, ConnectError } from "@connectrpc/connect";
import { invalidArgument, NebulaError } from "../../../common/errors/nebula-error.ts";
import { BadRequestSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import type { Login } from "../login/resolve-login.ts";
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
  it("is the server's own sentence", () => {
    assert.deepEqual(described(new ConnectError('there is no app "web"', Code.NotFound), LOGIN), ['there is no app "web"']);
    assert.deepEqual(described(new NebulaError("invalid_argument", "--x is wrong"), undefined), ["--x is wrong"]);
    assert.deepEqual(described(new TypeError("surprise"), LOGIN), ["unhandled error: surprise; --debug shows where it happened"]);
  });

  it("has a line for each violation where there are several", () => {
    const fieldViolations = [
      { field: "docker_image", description: "is missing" },
      { field: "name", description: "is too long" },
    ];
    const several = ["2 values are not right:", "  docker_image: is missing", "  name: is too long"];
    assert.deepEqual(
      described(new ConnectError("m", Code.InvalidArgument, undefined, [{ desc: BadRequestSchema, value: { fieldViolations } }]), LOGIN),
      several,
    );
    assert.deepEqual(described(invalidArgument(fieldViolations), LOGIN), several);
    assert.deepEqual(described(invalidArgument(fieldViolations.slice(0, 1)), LOGIN), ["docker_image: is missing"]);
  });

  it("says what to do about a login, and never shows a secret", () => {
    const refused = new ConnectError("wrong user or password", Code.Unauthenticated);
    assert.deepEqual(described(refused, LOGIN), [
      'http://gateway:8080 refused user "ci" (from profile "prod"): wrong user or password; log in again with nebulactl login --server http://gateway:8080',
    ]);
    assert.match(
      described(refused, { ...LOGIN, credentials: undefined })[0] ?? "",
      /wants a login, and none is stored for it: nebulactl login --server http:\/\/gateway:8080/,
    );
  });

  it("says which server can't be reached, why, and where its address comes from", () => {
    const said = (code: string, login = LOGIN) => described(wire(code), login)[0] ?? "";
    assert.match(said("ECONNREFUSED"), /nothing answers at http:\/\/gateway:8080 \(from profile "prod"\): start the server, or name another/);
    assert.match(said("ENOTFOUND"), /the host "gateway" of http:\/\/gateway:8080 \(from profile "prod"\) is not known/);
    assert.match(said("ECONNRESET"), /closed the connection before it answered/);
    assert.match(said("CERT_HAS_EXPIRED"), /certificate of http:\/\/gateway:8080 is not trusted \(why CERT_HAS_EXPIRED\)/);
    assert.match(said("HPE_INVALID_CONSTANT"), /if it is a manager, write grpc:\/\/gateway:8080/);
    assert.match(
      said("ERR_HTTP2_ERROR", { ...LOGIN, server: { protocol: "grpc", host: "gateway", port: 8080 } }),
      /if it is a gateway, write http:\/\/gateway:8080/,
    );
    for (const answer of ["HTTP 404", "unsupported content type text/html"]) {
      assert.deepEqual(described(new ConnectError(answer, Code.Unimplemented), LOGIN), [
        `http://gateway:8080 answers as no Nebula server does (${answer}): check its address, and what stands before it`,
      ]);
    }
    assert.match(described(new ConnectError("", Code.DeadlineExceeded), LOGIN)[0] ?? "", /http:\/\/gateway:8080 gave no answer in time: ask again$/);
  });

  it("says that an outcome is unknown only where something may have been changed", () => {
    for (const error of [new ConnectError("", Code.DeadlineExceeded), wire("ECONNRESET")]) {
      assert.doesNotMatch(described(error, LOGIN)[0] ?? "", /not known/);
      assert.match(described(error, LOGIN, true)[0] ?? "", /whether the change was stored is not known/);
    }
  });

  it("of the system has plain words", () => {
    const refused = Object.assign(new Error("EACCES: permission denied, open '/x'"), { code: "EACCES", path: "/x" });
    assert.match(described(refused, undefined)[0] ?? "", /^\/x can't be used: user \S+ \(uid \d+\) has no permission$/);
  });
});
