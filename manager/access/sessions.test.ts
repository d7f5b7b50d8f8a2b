import { strict as assert } from "node:assert";
import { newToken } from "../../common/access/tokens.ts";
import { session } from "../../common/storage/contracts/access-store-samples.ts";
import { createSessionBindings, isSessionToken, madeWith, newSessionToken, sessionKey } from "./sessions.ts";
import type { LoginSource } from "./verified-credentials.ts";

const ADMIN = { user: "admin", password: "a long password", token: "a-long-token" };
const KEY = "cluster key of a test";
const BY_PASSWORD: LoginSource = { kind: "configured", secret: "password" };
const BY_TOKEN: LoginSource = { kind: "configured", secret: "token" };

/** The session that a credential makes. */
function madeBy(source: LoginSource, admin = ADMIN, key = KEY) {
  return session("s1", { boundTo: createSessionBindings(admin, key).of(source) ?? assert.fail("it makes none") });
}

const ann = (change: { revision?: bigint; passwordHash?: string; tokenHash?: string; deleted?: boolean; name?: string } = {}) => ({
  name: "ann",
  revision: 3n,
  deleted: false,
  passwordHash: "$argon2id$one",
  tokenHash: "0123",
  changedAt: 0,
  changedBy: "admin",
  ...change,
});

describe("what a session is bound to", () => {
  const { isOfUser, isOfLocalAdmin, of } = createSessionBindings(ADMIN, KEY);

  it("a session of the local admin ends with the secret that it was made with, with its name and with the cluster key", () => {
    for (const [source, changed, other] of [
      [BY_PASSWORD, { password: "another password" }, { token: "another-token" }],
      [BY_TOKEN, { token: "another-token" }, { password: "another password" }],
    ] as const) {
      const made = madeBy(source);
      assert.ok(isOfLocalAdmin(made));
      assert.ok(createSessionBindings({ ...ADMIN, ...other }, KEY).isOfLocalAdmin(made));
      assert.ok(!createSessionBindings({ ...ADMIN, ...changed }, KEY).isOfLocalAdmin(made));
      assert.ok(!createSessionBindings({ ...ADMIN, user: "root" }, KEY).isOfLocalAdmin(made));
      assert.ok(!createSessionBindings(ADMIN, "another key").isOfLocalAdmin(made));
      assert.ok(!isOfUser(made, ann()));
      for (const secret of [ADMIN.password, ADMIN.token]) assert.ok(!made.boundTo.includes(secret));
    }
  });

  it("a session of the local admin's token ends where the configuration has no token any more", () => {
    for (const token of [undefined, ""]) assert.ok(!createSessionBindings({ ...ADMIN, token }, KEY).isOfLocalAdmin(madeBy(BY_TOKEN)));
  });

  it("a session of a password lasts while the password does: over a new token, and over another hash of the same password", () => {
    const made = madeBy({ kind: "password", revision: 3n, passwordHash: "$argon2id$one" });
    assert.ok(isOfUser(made, ann()));
    assert.ok(isOfUser(made, ann({ revision: 4n, tokenHash: "4567" })));
    assert.ok(isOfUser(made, ann({ passwordHash: "$argon2id$rehashed" })));
    assert.ok(!isOfUser(made, ann({ revision: 4n, passwordHash: "$argon2id$other" })));
    assert.ok(!isOfUser(made, ann({ passwordHash: "" })));
    assert.ok(!isOfUser(made, ann({ deleted: true })));
    assert.ok(!isOfUser(made, ann({ name: "eve" })));
    assert.ok(!isOfLocalAdmin(made) && !made.boundTo.includes("argon2id"));
  });

  it("a session of a user's token lasts while the token does", () => {
    const made = madeBy({ kind: "user_token", tokenHash: "0123" });
    assert.ok(isOfUser(made, ann()));
    assert.ok(isOfUser(made, ann({ revision: 4n, passwordHash: "$argon2id$other" })));
    for (const tokenHash of ["4567", ""]) assert.ok(!isOfUser(made, ann({ revision: 4n, tokenHash })));
  });

  it("a binding that is damaged counts for nobody", () => {
    for (const boundTo of ["", "user_token", "user_token ", "user_password", "user_password 4", "admin_password", "x"]) {
      const damaged = session("s1", { boundTo });
      assert.ok(!isOfLocalAdmin(damaged), boundTo);
      for (const user of [ann(), ann({ tokenHash: "", passwordHash: "" })]) assert.ok(!isOfUser(damaged, user), boundTo);
    }
  });

  it("sessions, devices, and callers while authentication is off make no session", () => {
    for (const source of [{ kind: "session", session: session("s1") }, { kind: "token" }, { kind: "configured" }] as const)
      assert.equal(of(source), undefined);
  });

  it("a session says what it was made with", () => {
    const password = { kind: "password", revision: 3n, passwordHash: "h" } as const;
    const sources = [password, { kind: "user_token", tokenHash: "0123" }, BY_PASSWORD, BY_TOKEN] as const;
    assert.deepEqual(
      sources.map((source) => madeWith(madeBy(source))),
      ["password", "token", "password", "token"],
    );
  });

  it("a session token is known by its form, and its id is a part of its hash", () => {
    const token = newSessionToken();
    assert.ok(isSessionToken(token));
    for (const other of [newToken(), "nbs_", `nbs_${newToken()}x`, `x${token}`]) assert.ok(!isSessionToken(other), other);
    const { id, tokenHash } = sessionKey(token);
    assert.match(tokenHash, /^[0-9a-f]{64}$/);
    assert.equal(id, tokenHash.slice(0, 16));
  });
});
