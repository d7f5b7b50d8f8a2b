import { strict as assert } from "node:assert";
import { authorizationOf } from "./authorization.ts";

describe("the Authorization header of credentials", () => {
  it("the Authorization header is Bearer for a token, and Basic in UTF-8 for a password", () => {
    assert.equal(authorizationOf({ kind: "token", token: "abc" }), "Bearer abc");
    assert.equal(
      authorizationOf({ kind: "password", user: "admin", password: "pässword" }),
      `Basic ${Buffer.from("admin:pässword", "utf8").toString("base64")}`,
    );
  });
});
