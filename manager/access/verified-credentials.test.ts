import { strict as assert } from "node:assert";
import { configuredLogin, type Login } from "./login.ts";
import { VerifiedCredentials } from "./verified-credentials.ts";

const loginOf = (id: string): Login => ({ ...configuredLogin({ kind: "part" }), id });

describe("verified credentials", () => {
  it("V1: keeps at most its limit, and of those the ones used last", () => {
    const verified = new VerifiedCredentials(3);
    for (const id of ["a", "b", "c"]) verified.add(loginOf(id));
    assert.equal(verified.get("a")?.id, "a");
    verified.add(loginOf("d"));
    assert.equal(verified.size, 3);
    assert.deepEqual(
      ["a", "b", "c", "d"].map((id) => verified.get(id) !== undefined),
      [true, false, true, true],
    );
  });

  it("V3: knows what was valid when all is forgotten, up to its limit, until it is found invalid", () => {
    const verified = new VerifiedCredentials(2);
    for (const id of ["a", "b"]) verified.add(loginOf(id));
    verified.forgetAll();
    assert.deepEqual(
      [verified.size, verified.get("a"), ...["a", "b", "c"].map((id) => verified.before(id)?.id)],
      [0, undefined, "a", "b", undefined],
    );
    verified.refuse("b");
    assert.equal(verified.before("b"), undefined);
    for (const id of ["c", "d"]) verified.add(loginOf(id));
    verified.forgetAll();
    assert.deepEqual(
      ["a", "c", "d"].map((id) => verified.before(id)?.id),
      [undefined, "c", "d"],
    );
  });
});
