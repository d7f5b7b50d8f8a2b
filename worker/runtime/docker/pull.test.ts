import assert from "node:assert/strict";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { authConfig, pullLineError, pullQuery } from "./pull.ts";

describe("a pull", () => {
  it("a pull asks for the tag or the digest", () => {
    const digest = `sha256:${"ab".repeat(32)}`;
    assert.deepEqual(pullQuery("docker.io/library/busybox:1"), { fromImage: "docker.io/library/busybox", tag: "1" });
    assert.deepEqual(pullQuery(`r.example:5000/a/b@${digest}`), { fromImage: "r.example:5000/a/b", tag: digest });
    assert.throws(
      () => pullQuery("No Image"),
      (error) => isNebulaError(error, "invalid_argument"),
    );
  });

  it("a pull fails by a line, old or new", () => {
    assert.equal(pullLineError({ error: "no space left on device" }), "no space left on device");
    assert.equal(pullLineError({ errorDetail: { message: "manifest unknown" } }), "manifest unknown");
    assert.equal(pullLineError({ status: "Downloading", progressDetail: { current: 1 } }), undefined);
  });

  it("a pull carries a login, or none", () => {
    assert.equal(authConfig(undefined), undefined);
    assert.deepEqual(authConfig({ username: "u", password: "p", registry: "r" }), { username: "u", password: "p", serveraddress: "r" });
    assert.deepEqual(authConfig({ identityToken: "t", registry: "r" }), { identitytoken: "t", serveraddress: "r" });
  });
});
