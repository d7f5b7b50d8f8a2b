import { strict as assert } from "node:assert";
import fc from "fast-check";
import { type UserCredentials, validateUser } from "./user.ts";

const ARGON2ID = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
const BCRYPT = "$2b$12$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe";
const fieldsOf = (given: Partial<UserCredentials>) => validateUser({ name: "ann", ...given }).map(({ field }) => field);

describe("a user", () => {
  it("a user needs a name alone", () => {
    assert.deepEqual(fieldsOf({}), []);
    assert.deepEqual(fieldsOf({ name: "" }), ["name"]);
    assert.deepEqual(fieldsOf({ name: "ann:x" }), ["name"]); // a login by Basic ends the name at the colon
  });

  it("a user has a password of 8 to 256 bytes", () => {
    for (const password of ["12345678", "pässwor", "x".repeat(256), " with spaces "]) assert.deepEqual(fieldsOf({ password }), [], password);
    for (const password of ["", "1234567", "x".repeat(257), "ä".repeat(129), "12345678\0", "123456789\n", "12345678\ud800"]) {
      assert.deepEqual(fieldsOf({ password }), ["password"], password);
    }
  });

  it("a user has a token of at least 8 characters that a header can carry", () => {
    for (const token of ["01234567", "a.token-with=punctuation/+~", "x".repeat(512)]) assert.deepEqual(fieldsOf({ token }), [], token);
    for (const token of ["", "0123456", "x".repeat(513), "0123456789abcde f", "0123456789abcdeé", "0123456789abcdef\n"]) {
      assert.deepEqual(fieldsOf({ token }), ["token"], token);
    }
  });

  it("a user has a password or its hash, argon2id or bcrypt", () => {
    for (const passwordHash of [ARGON2ID, BCRYPT, BCRYPT.replace("$2b$", "$2a$"), BCRYPT.replace("$2b$", "$2y$")]) {
      assert.deepEqual(fieldsOf({ passwordHash }), [], passwordHash);
    }
    for (const passwordHash of ["", "password", "$1$abc$def", BCRYPT.replace("$12$", "$31$"), ARGON2ID.replace("argon2id", "argon2d")]) {
      assert.deepEqual(fieldsOf({ passwordHash }), ["password_hash"], passwordHash);
    }
    assert.deepEqual(fieldsOf({ passwordHash: BCRYPT, password: "12345678" }), ["password_hash"]);
  });

  it("a user is refused in words that repeat no credential", () =>
    fc.assert(
      fc.property(fc.string({ minLength: 12, maxLength: 300 }), (secret) => {
        const said = JSON.stringify(validateUser({ name: "ann", password: `${secret}\0`, token: ` ${secret}`, passwordHash: secret }));
        assert.ok(!said.includes(secret) && !said.includes(JSON.stringify(secret).slice(1, -1)), said);
      }),
    ));
});
