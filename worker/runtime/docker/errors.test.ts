import assert from "node:assert/strict";
import { isNebulaError, NebulaError } from "../../../common/errors/nebula-error.ts";
import { errorFromDocker, pullError, withoutEnvValues } from "./errors.ts";

describe("errors of the engine", () => {
  const refused = (statusCode: number, message: string) => Object.assign(new Error(message), { statusCode, json: { message } });
  const cases: readonly (readonly [number, string, string])[] = [
    [400, "invalid reference format", "invalid_argument"],
    [404, "No such container: x", "not_found"],
    [409, 'Conflict. The container name "/web-1" is already in use by container "abc".', "already_exists"],
    [409, "network with name nebula already exists", "already_exists"],
    [403, "endpoint with name web-1 already exists in network nebula", "already_exists"],
    [409, "You cannot remove a running container", "failed_precondition"],
    [500, "driver failed programming external connectivity: port is already allocated", "failed_precondition"],
  ];
  for (const [status, words, kind] of cases) {
    it(`an engine's ${status} ${words.slice(0, 40)} is ${kind}`, () => {
      const error = errorFromDocker(refused(status, words), "here");
      assert.equal(error.kind, kind);
      assert.equal(error.message, words);
    });
  }

  it("errors without an engine are unavailable", () => {
    for (const code of ["ECONNREFUSED", "ENOENT", "EACCES", "ECONNRESET"]) {
      assert.equal(errorFromDocker(Object.assign(new Error(code), { code }), "here").kind, "unavailable");
    }
    assert.equal(errorFromDocker(new Error("socket hang up"), "here").kind, "unavailable");
  });

  it("errors of a pull say whether another login could help", () => {
    assert.equal(pullError("Get https://r.example/v2/a/manifests/1: no basic auth credentials").kind, "unauthenticated");
    assert.equal(pullError("unauthorized: authentication required").kind, "unauthenticated");
    assert.equal(pullError("pull access denied for a, repository does not exist or may require 'docker login'").kind, "unauthenticated");
    assert.equal(pullError("manifest for r.example/a:1 not found: manifest unknown: manifest unknown").kind, "not_found");
    assert.equal(pullError("dial tcp 127.0.0.1:1: connect: connection refused").kind, "failed_precondition");
  });

  it("errors lose the values of env in every form in which the engine repeats them, and keep the rest", () => {
    const messageWithout = (words: string, env: Record<string, string>) => {
      const error = withoutEnvValues(new NebulaError("invalid_argument", words), env);
      return isNebulaError(error) ? error.message : "no error";
    };
    assert.equal(
      messageWithout('invalid environment variable: "KEY=s3 \\"cret\\nx"', { KEY: 's3 "cret\nx' }),
      'invalid environment variable: "KEY=..."',
    );
    assert.equal(messageWithout("s3cret-long is not a host, nor is s3cret", { A: "s3cret", B: "s3cret-long" }), "... is not a host, nor is ...");
    assert.equal(messageWithout("PIN=12: port 8012 is taken", { PIN: "12", EMPTY: "" }), "PIN=...: port 8012 is taken");
    assert.equal(messageWithout("nothing of it", { A: "s3cret" }), "nothing of it");
  });

  it("errors lose the values of env", () => {
    const error = withoutEnvValues(new NebulaError("invalid_argument", "invalid environment variable: KEY=s3cret"), { KEY: "s3cret" });
    assert.ok(isNebulaError(error, "invalid_argument") && !error.message.includes("s3cret") && error.message.includes("KEY="));
  });
});
