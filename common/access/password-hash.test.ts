import { strict as assert } from "node:assert";
import fc from "fast-check";
import { parsePasswordHash } from "./password-format.ts";
import { hashPassword, verifyPassword } from "./password-hash.ts";

const PASSWORD = "correct horse";
/** As the argon2 command of the reference implementation and as jBCrypt make them. */
const KNOWN = {
  argon2id: { password: "password", hash: "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc" },
  bcrypt: { password: "a", hash: "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe" },
};

describe("a password's hash", () => {
  it("a password's hash is argon2id with 19 MiB, two passes and a salt of its own, and admits that password alone", async () => {
    const [hash, again] = await Promise.all([hashPassword(PASSWORD), hashPassword(PASSWORD)]);
    assert.match(hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    assert.notEqual(hash, again);
    assert.deepEqual(await verifyPassword(PASSWORD, hash), { ok: true, outdated: false });
    assert.deepEqual(await verifyPassword(`${PASSWORD} `, hash), { ok: false, outdated: false });
    assert.deepEqual(await verifyPassword("", hash), { ok: false, outdated: false });
  });

  it("letters beyond ASCII are hashed as UTF-8", async () => {
    assert.equal((await verifyPassword("pässword", await hashPassword("pässword"))).ok, true);
    assert.equal((await verifyPassword("password", await hashPassword("pässword"))).ok, false);
  });

  it("a hash of another program's argon2id is checked; one with a shorter salt is outdated", async () => {
    assert.deepEqual(await verifyPassword(KNOWN.argon2id.password, KNOWN.argon2id.hash), { ok: true, outdated: true });
    assert.deepEqual(await verifyPassword("Password", KNOWN.argon2id.hash), { ok: false, outdated: true });
  });

  for (const minor of ["a", "b", "y"]) {
    it(`a hash with $2${minor}$ is checked by bcrypt, and outdated`, async () => {
      const hash = KNOWN.bcrypt.hash.replace("$2a$", `$2${minor}$`);
      assert.deepEqual(await verifyPassword(KNOWN.bcrypt.password, hash), { ok: true, outdated: true });
      assert.deepEqual(await verifyPassword("b", hash), { ok: false, outdated: true });
    });
  }

  it("a hash that makes guesses cheaper than Nebula's own is outdated", async () => {
    const weak = (await hashPassword(PASSWORD)).replace("t=2", "t=1");
    assert.deepEqual(await verifyPassword(PASSWORD, weak), { ok: false, outdated: true });
  });

  it("a hash that cannot be read admits no password", async () => {
    const own = await hashPassword(PASSWORD);
    const damaged = [
      "",
      PASSWORD,
      own.slice(0, -1),
      `${own}=`,
      own.replace("argon2id", "argon2i"),
      own.replace("v=19", "v=16"),
      own.replace("m=19456", "m=7"),
      own.replace("p=1", "p=0"),
      KNOWN.bcrypt.hash.slice(0, -1),
      KNOWN.bcrypt.hash.replace("$2a$", "$2x$"),
      KNOWN.bcrypt.hash.replace("$06$", "$03$"),
    ];
    for (const hash of damaged) assert.deepEqual(await verifyPassword(PASSWORD, hash), { ok: false, outdated: true }, hash);
  });

  it("a hash that would cost all memory, or a processor for minutes, is not even tried", () => {
    const hash = KNOWN.argon2id.hash;
    assert.equal(parsePasswordHash(hash)?.kind, "argon2id");
    for (const dear of [hash.replace("m=65536", "m=4194304"), hash.replace("t=2", "t=1000"), hash.replace("p=1", "p=255")]) {
      assert.equal(parsePasswordHash(dear), undefined, dear);
    }
    assert.equal(parsePasswordHash(KNOWN.bcrypt.hash.replace("$06$", "$14$"))?.kind, "bcrypt");
    assert.equal(parsePasswordHash(KNOWN.bcrypt.hash.replace("$06$", "$15$")), undefined);
  });

  it("a check answers for any text in place of a hash", () =>
    fc.assert(
      fc.asyncProperty(fc.oneof(fc.string(), fc.stringMatching(/^\$(argon2id|2[aby])\$[v=0-9mtp,$a-z]{0,40}$/)), async (text) => {
        assert.deepEqual(await verifyPassword("x", text), { ok: false, outdated: true });
      }),
    ));

  it("a check is refused when a flood of others waits already, and those that waited are done", async () => {
    const hash = await hashPassword(PASSWORD);
    const outcomes = await Promise.allSettled(Array.from({ length: 80 }, () => verifyPassword("wrong", hash)));
    const refused = outcomes.filter(({ status }) => status === "rejected");
    assert.equal(refused.length, 80 - 2 - 64);
    for (const outcome of outcomes) if (outcome.status === "rejected") assert.equal(outcome.reason.kind, "resource_exhausted");
    assert.equal((await verifyPassword(PASSWORD, hash)).ok, true);
  }).timeout(30_000);
});
