import { strict as assert } from "node:assert";
import bcrypt from "bcryptjs";
import fc from "fast-check";
import { FORWARDED_FOR_HEADER, FORWARDER_TOKEN_HEADER, forwarderToken, PART_TOKEN_HEADER, partToken } from "../../common/access/part-token.ts";
import { newToken, tokenHash } from "../../common/access/tokens.ts";
import { isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { ADMIN, CLUSTER_KEY, headers, LOCAL, startAuthentication } from "../testing/authentication-rig.ts";
import { basic, bearer, putTestDevice, putTestUser, putTestUserGroup } from "../testing/test-access.ts";
import { mayRead, mayWrite } from "./rights/rights.ts";

const refused = (error: unknown) => isNebulaError(error, "unauthenticated");

describe("authenticate", () => {
  it("authenticate knows the local admin by password and by token, as configured or in base64, however the scheme is written, without a read of the store", async () => {
    await using access = await startAuthentication();
    const valid = [
      basic("admin", "päss:word"),
      { authorization: basic("admin", "päss:word").authorization.replace("Basic", "bAsIc") },
      bearer("t0ken"),
      { authorization: `bearer ${Buffer.from("t0ken").toString("base64")}` },
    ];
    for (const each of [...valid, ...valid]) assert.deepEqual((await access.caller(each)).principal, LOCAL);
    assert.deepEqual(access.reads, []);
  });

  it("authenticate answers for a known credential at once, without a promise", async () => {
    await using access = await startAuthentication();
    const token = await putTestDevice(access.store, "d1", "g");
    await access.caller(bearer(token));
    assert.ok(!(access.authenticate(headers(bearer(token)), "peer") instanceof Promise));
    assert.ok(!(access.authenticate(headers({ [PART_TOKEN_HEADER]: partToken(CLUSTER_KEY) }), "peer") instanceof Promise));
  });

  it("authenticate refuses all other credentials", async () => {
    await using access = await startAuthentication();
    const known = new Set(["t0ken", Buffer.from("t0ken").toString("base64")]);
    const credential = fc.oneof(
      fc.constant({}),
      fc
        .tuple(fc.string(), fc.string())
        .filter(([user, password]) => !(user === ADMIN.user && password === ADMIN.password))
        .map(([user, password]) => basic(user, password)),
      fc
        .string()
        .filter((token) => !known.has(token.trim()))
        .map(bearer),
      fc.string().map((text) => ({ authorization: text })),
      fc.constantFrom("admin", "").map((user) => basic(user, "")),
    );
    let from = 0; // another address each time: many failures of one are another test's
    await fc.assert(
      fc.asyncProperty(credential, (each) => assert.rejects(access.caller(each, `10.0.${(from++ >> 8) & 255}.${from & 255}:1`), refused)),
      { numRuns: 60 },
    );
  });

  it("authenticate without a configured token accepts none, the empty one neither", async () => {
    for (const token of [undefined, ""]) {
      await using access = await startAuthentication({ token });
      for (const authorization of ["Bearer ", "Bearer =", "Bearer undefined", "Bearer AA=="])
        await assert.rejects(access.caller({ authorization }), refused);
    }
  });

  it("authenticate believes another part of the cluster, and the address it names, by its token alone", async () => {
    await using access = await startAuthentication();
    const seenOf = async (values: Record<string, string>) => {
      const { principal, viaPart, peer } = await access.caller(values, "peer");
      return { principal, viaPart, peer };
    };
    const token = { [PART_TOKEN_HEADER]: partToken(CLUSTER_KEY) };
    const forwarded = { [FORWARDED_FOR_HEADER]: "192.0.2.7" };
    assert.deepEqual(await seenOf(token), { principal: { kind: "part" }, viaPart: true, peer: "peer" });
    const viaGateway = await seenOf({ ...token, ...forwarded, ...basic("admin", "päss:word") });
    assert.deepEqual(viaGateway, { principal: LOCAL, viaPart: true, peer: "192.0.2.7" });
    const direct = await seenOf({ ...forwarded, ...basic("admin", "päss:word") });
    assert.deepEqual(direct, { principal: LOCAL, viaPart: false, peer: "peer" });
    const foreign = { [PART_TOKEN_HEADER]: partToken("another key") };
    await assert.rejects(seenOf({ ...foreign, ...basic("admin", "päss:word") }), refused);
    await assert.rejects(seenOf({ ...token, ...basic("admin", "wrong") }), refused);
  });

  it("authenticate believes the address of a caller without a login by the forwarder's token, which gives no rights", async () => {
    await using access = await startAuthentication();
    const seen: string[] = [];
    const call = async (values: Record<string, string>) =>
      access.authenticate(headers({ [FORWARDED_FOR_HEADER]: "192.0.2.7", ...values }), "peer", ({ peer }) => seen.push(peer));
    await assert.rejects(call({ [FORWARDER_TOKEN_HEADER]: forwarderToken(partToken(CLUSTER_KEY)) }), refused);
    await assert.rejects(call({ [FORWARDER_TOKEN_HEADER]: partToken(CLUSTER_KEY) }), refused);
    await assert.rejects(call({ [FORWARDER_TOKEN_HEADER]: forwarderToken(partToken("another key")) }), refused);
    assert.deepEqual(seen, ["192.0.2.7", "peer", "peer"]);
  });

  it("authenticate makes every caller admin where it is off, and still tells parts from others", async () => {
    await using access = await startAuthentication({ enabled: false });
    const own = await access.caller({});
    assert.deepEqual([own.principal, own.viaPart], [LOCAL, false]);
    const part = await access.caller({ [PART_TOKEN_HEADER]: partToken(CLUSTER_KEY) });
    assert.deepEqual([part.principal, part.viaPart], [LOCAL, true]);
  });

  it("authenticate makes no caller of another machine admin where it is off, for a gateway beside the manager may be open to all", async () => {
    await using access = await startAuthentication({ enabled: false });
    const from = (address: string) => ({ [FORWARDED_FOR_HEADER]: address });
    for (const address of ["127.0.0.1", "::1"]) assert.deepEqual((await access.caller(from(address))).principal, LOCAL);
    for (const more of [{}, basic("admin", "päss:word"), { [PART_TOKEN_HEADER]: partToken(CLUSTER_KEY) }]) {
      await assert.rejects(access.caller({ ...from("192.0.2.9"), ...more }), refused);
    }
    await using open = await startAuthentication({ enabled: false, openToOthers: true });
    assert.deepEqual((await open.caller(from("192.0.2.9"))).principal, LOCAL);
  });
});

describe("authenticate by the store", () => {
  it("authenticate knows a user by password and by token, with the rights of all its user_groups, and reads a known one once", async () => {
    await using access = await startAuthentication();
    await putTestUser(access.store, "ann", { password: "correct horse", token: "anns-own-token-of-text" });
    await putTestUserGroup(access.store, "web", ["ann"], { apps: { web: "rw" } });
    await putTestUserGroup(access.store, "look", ["ann", "bob"], { apps: { "*": "ro" } });
    access.reads.length = 0;
    const encoded = Buffer.from("anns-own-token-of-text").toString("base64");
    for (const each of [basic("ann", "correct horse"), bearer(encoded), bearer(encoded), basic("ann", "correct horse")]) {
      const { principal } = await access.caller(each);
      assert.ok(principal.kind === "user" && principal.name === "ann");
      assert.ok(mayWrite(principal.rights, { kind: "app", name: "web" }) && mayRead(principal.rights, { kind: "app", name: "db" }));
      assert.ok(!mayWrite(principal.rights, { kind: "app", name: "db" }));
    }
    assert.equal(access.reads.filter((read) => read === "groupsOf").length, 2);
    await assert.rejects(access.caller(basic("ann", "wrong horse")), refused);
    await assert.rejects(access.caller(basic("bob", "correct horse")), refused);
  });

  it("authenticate checks a password that many calls bring at once a single time", async () => {
    await using access = await startAuthentication();
    await putTestUser(access.store, "ann", { password: "correct horse" });
    access.reads.length = 0;
    await Promise.all(Array.from({ length: 50 }, () => access.caller(basic("ann", "correct horse"))));
    assert.deepEqual(access.reads, ["getUser", "groupsOf"]);
  });

  it("authenticate reads the store no more for a credential once every call that brought it has gone, and checks it for the next one", async () => {
    await using access = await startAuthentication();
    const token = await putTestDevice(access.store, "d1", "g");
    access.reads.length = 0;
    access.state.hangs = true;
    const [one, other] = [new AbortController(), new AbortController()];
    const calls = [one, other].map(({ signal }) =>
      Promise.resolve(access.authenticate(headers(bearer(token)), "192.0.2.1:1000", undefined, () => signal)),
    );
    await eventually(() => access.signals.length === 1);
    one.abort(new NebulaError("cancelled", "one has gone"));
    await assert.rejects(calls[0] ?? assert.fail(), /one has gone/);
    assert.equal(access.signals[0]?.aborted, false, "the other call waits for it");
    other.abort(new NebulaError("cancelled", "the other has gone"));
    await assert.rejects(calls[1] ?? assert.fail(), /the other has gone/);
    assert.equal(access.signals[0]?.aborted, true);
    access.state.hangs = false;
    assert.deepEqual((await access.caller(bearer(token))).principal, {
      kind: "device",
      deviceId: "d1",
      deviceGroup: "g",
      tokenHash: tokenHash(token),
    });
    assert.deepEqual(access.reads, ["tokenOwner", "tokenOwner"]);
  });

  it("authenticate takes a bcrypt hash that was carried over, and replaces it at the first login", async () => {
    await using access = await startAuthentication();
    await putTestUser(access.store, "old", { passwordHash: await bcrypt.hash("correct horse", 4) });
    const stamp = await access.store.stamp();
    assert.equal((await access.caller(basic("old", "correct horse"))).principal.kind, "user");
    const stored = await access.store.getUser("old");
    assert.ok(stored?.passwordHash.startsWith("$argon2id$") === true);
    assert.deepEqual([stored?.revision, await access.store.stamp()], [1n, stamp]);
    await assert.rejects(access.caller(basic("old", "wrong")), refused);
  });

  it("authenticate knows a device by its token, in one read; the first use of the next token ends the one before", async () => {
    await using access = await startAuthentication();
    const [token, next] = [await putTestDevice(access.store, "d1", "g"), newToken()];
    const device = { kind: "device", deviceId: "d1", deviceGroup: "g" };
    access.reads.length = 0;
    assert.deepEqual((await access.caller(bearer(token))).principal, { ...device, tokenHash: tokenHash(token) });
    assert.deepEqual(access.reads, ["tokenOwner"]);
    await access.store.announceNext(tokenHash(token), tokenHash(next));
    assert.deepEqual((await access.caller(bearer(next))).principal, { ...device, tokenHash: tokenHash(next) });
    await eventually(() => assert.rejects(access.caller(bearer(token)), refused), { timeoutMs: 1000 });
    assert.equal((await access.caller(bearer(next))).principal.kind, "device");
  });

  it("authenticate knows an enrolment token, and asks the store each time, which counts its uses and its time", async () => {
    await using access = await startAuthentication();
    const token = newToken();
    await access.store.createEnrolment({
      id: "0123456789abcdef",
      tokenHash: tokenHash(token),
      deviceGroup: "g",
      usesLeft: 1,
      expiresAt: 1,
      createdAt: 0,
      createdBy: "t",
    });
    const principal = { kind: "enrolment", deviceGroup: "g", tokenHash: tokenHash(token) };
    assert.deepEqual((await access.caller(bearer(token))).principal, principal);
    await access.store.revokeEnrolment("0123456789abcdef");
    await assert.rejects(access.caller(bearer(token)), refused);
  });

  it("authenticate keeps known credentials while the store is unreachable, and rejects others as unavailable, without counting a failed login", async () => {
    await using access = await startAuthentication({ everyMs: 20 });
    const [known, unknown] = [await putTestDevice(access.store, "d1", "g"), await putTestDevice(access.store, "d2", "g")];
    await eventually(async () => assert.equal(access.generations.current, 1), { timeoutMs: 1000 });
    await access.caller(bearer(known));
    access.state.down = true;
    const reads = access.reads.length;
    await eventually(() => assert.ok(access.reads.length > reads + 3), { timeoutMs: 2000 });
    assert.equal((await access.caller(bearer(known))).principal.kind, "device");
    for (let tries = 0; tries < 30; tries++) await assert.rejects(access.caller(bearer(unknown)), (error) => isNebulaError(error, "unavailable"));
    access.state.down = false;
    assert.equal((await access.caller(bearer(unknown))).principal.kind, "device");
  });
});
