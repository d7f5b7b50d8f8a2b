import { strict as assert } from "node:assert";
import { NO_RIGHTS } from "./rights.ts";
import { VerifiedCredentials } from "./verified-credentials.ts";

describe("verified credentials", () => {
  it("V1: keeps at most its limit, and of those the ones used last", () => {
    const verified = new VerifiedCredentials(3);
    const principal = { kind: "user", name: "u", rights: NO_RIGHTS } as const;
    for (const digest of ["a", "b", "c"]) verified.add(digest, principal);
    assert.equal(verified.get("a"), principal);
    verified.add("d", principal);
    assert.equal(verified.size, 3);
    assert.deepEqual(
      ["a", "b", "c", "d"].map((digest) => verified.get(digest) === principal),
      [true, false, true, true],
    );
  });
});
