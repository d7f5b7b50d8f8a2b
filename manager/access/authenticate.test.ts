import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import bcrypt from "bcryptjs";
import fc from "fast-check";
import { createMemoryLoginCounts } from "../../common/access/login-counts.ts";
import { FORWARDED_FOR_HEADER, FORWARDER_TOKEN_HEADER, forwarderToken, PART_TOKEN_HEADER, partToken } from "../../common/access/part-token.ts";
import { hashPassword } from "../../common/access/password-hash.ts";
import { newToken, tokenHash } from "../../common/access/tokens.ts";
import { systemClock } from "../../common/clock/system-clock.ts";
import { isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import { createMemoryFeed } from "../../common/feed/memory-feed.ts";
import { silentLog } from "../../common/log/log.ts";
import type { AccessStore } from "../../common/storage/access-store.ts";
import { openSqliteAccessStore } from "../../common/storage/sqlite/access/access-store.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { UserGroupSchema } from "../../gen/nebula/v1/user_group_pb.ts";
import { createAccess } from "./access.ts";
import type { Caller } from "./authenticate.ts";
import { ADMIN_RIGHTS, mayRead, mayWrite } from "./rights/rights.ts";

const CLUSTER_KEY = "key";
const ADMIN = { user: "admin", password: "päss:word", token: "t0ken" };
const LOCAL = { kind: "user", name: "admin", rights: ADMIN_RIGHTS };

type Options = { enabled?: boolean; openToOthers?: boolean; token?: string | undefined; everyMs?: number };

/** Authentication over a real store, whose reads are counted. */
async function startAccess(options: Options = {}) {
  await using stack = new AsyncDisposableStack();
  const store = stack.use(await openSqliteAccessStore({ path: ":memory:" }));
  const feed = stack.use(createMemoryFeed({ log: silentLog }));
  const reads: string[] = [];
  const state = { down: false, hangs: false };
  /** Of each read that hangs. */
  const signals: AbortSignal[] = [];
  const accessStore = new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        reads.push(String(name));
        const signal = args.at(-1);
        if (state.hangs && signal instanceof AbortSignal) {
          signals.push(signal);
          return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
        }
        return state.down ? Promise.reject(new NebulaError("unavailable", "down")) : Reflect.apply(value, target, args);
      };
    },
  });
  const life = new AbortController();
  const access = createAccess({
    enabled: options.enabled ?? true,
    openToOthers: options.openToOthers ?? false,
    clusterKey: CLUSTER_KEY,
    admin: { ...ADMIN, token: "token" in options ? options.token : ADMIN.token },
    drivers: { accessStore, changeFeed: feed, loginCounts: createMemoryLoginCounts() },
    clock: systemClock,
    log: silentLog,
    everyMs: options.everyMs ?? 60_000,
    signal: life.signal,
  });
  stack.defer(async () => {
    life.abort();
    await access.generations.done;
  });
  await eventually(() => assert.equal(access.generations.current, 1), { timeoutMs: 2000 });
  reads.length = 0;
  const opened = stack.move();
  return {
    ...access,
    store,
    feed,
    reads,
    signals,
    state,
    /** Resolves with the caller of these headers. */
    caller: async (values: Record<string, string>, peer = "192.0.2.1:1000"): Promise<Caller> => access.authenticate(headers(values), peer),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

function headers(values: Record<string, string>) {
  return { header: (name: string) => values[name] };
}

function basic(user: string, password: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` };
}

function bearer(token: string): Record<string, string> {
  return { authorization: `Bearer ${token}` };
}

async function putUser(
  store: AccessStore,
  name: string,
  { passwordHash = "", token = "" }: { passwordHash?: string; token?: string },
): Promise<void> {
  const before = (await store.getUser(name))?.revision ?? 0n;
  const outcome = await store.writeUser({
    name,
    expected: before,
    revision: before + 1n,
    deleted: false,
    passwordHash,
    tokenHash: token === "" ? "" : tokenHash(token),
    changedAt: 0,
    changedBy: "test",
  });
  assert.equal(outcome.kind, "written");
}

async function putGroup(store: AccessStore, name: string, members: string[], apps: Record<string, string>): Promise<void> {
  const before = (await store.getUserGroup(name))?.revision ?? 0n;
  const body = toBinary(UserGroupSchema, create(UserGroupSchema, { name, groupMembers: members, apps }));
  const change = { expected: before, revision: before + 1n, deleted: false, changedAt: 0, changedBy: "test" };
  assert.equal((await store.writeUserGroup({ name, body, members, ...change })).kind, "written");
}

async function enrol(store: AccessStore, deviceId: string, token: string, enrolment = newToken()): Promise<void> {
  const id = createHash("sha256").update(enrolment).digest("hex").slice(0, 16);
  const times = { usesLeft: 1, expiresAt: Date.now() + 60_000, createdAt: Date.now(), createdBy: "test" };
  await store.createEnrolment({ id, tokenHash: tokenHash(enrolment), deviceGroup: "g", ...times });
  const outcome = await store.enrol({ deviceId, tokenHash: tokenHash(token), enrolmentHash: tokenHash(enrolment), nowMs: Date.now() });
  assert.equal(outcome.kind, "enrolled");
}

const refused = (error: unknown) => isNebulaError(error, "unauthenticated");

describe("authenticate", () => {
  it("authenticate knows the local admin by password and by token, as configured or in base64, however the scheme is written, without a read of the store", async () => {
    await using access = await startAccess();
    const valid = [
      basic("admin", "päss:word"),
      { authorization: basic("admin", "päss:word").authorization?.replace("Basic", "bAsIc") ?? "" },
      bearer("t0ken"),
      { authorization: `bearer ${Buffer.from("t0ken").toString("base64")}` },
    ];
    for (const each of [...valid, ...valid]) assert.deepEqual((await access.caller(each)).principal, LOCAL);
    assert.deepEqual(access.reads, []);
  });

  it("authenticate answers for a known credential at once, without a promise", async () => {
    await using access = await startAccess();
    const token = newToken();
    await enrol(access.store, "d1", token);
    await access.caller(bearer(token));
    assert.ok(!(access.authenticate(headers(bearer(token)), "peer") instanceof Promise));
    assert.ok(!(access.authenticate(headers({ [PART_TOKEN_HEADER]: partToken(CLUSTER_KEY) }), "peer") instanceof Promise));
  });

  it("authenticate refuses all other credentials", async () => {
    await using access = await startAccess();
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
      await using access = await startAccess({ token });
      for (const authorization of ["Bearer ", "Bearer =", "Bearer undefined", "Bearer AA=="])
        await assert.rejects(access.caller({ authorization }), refused);
    }
  });

  it("authenticate believes another part of the cluster, and the address it names, by its token alone", async () => {
    await using access = await startAccess();
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
    await using access = await startAccess();
    const seen: string[] = [];
    const header = (values: Record<string, string>) => ({ header: (name: string) => values[name] });
    const call = async (values: Record<string, string>) =>
      access.authenticate(header({ [FORWARDED_FOR_HEADER]: "192.0.2.7", ...values }), "peer", ({ peer }) => seen.push(peer));
    await assert.rejects(call({ [FORWARDER_TOKEN_HEADER]: forwarderToken(partToken(CLUSTER_KEY)) }), refused);
    await assert.rejects(call({ [FORWARDER_TOKEN_HEADER]: partToken(CLUSTER_KEY) }), refused);
    await assert.rejects(call({ [FORWARDER_TOKEN_HEADER]: forwarderToken(partToken("another key")) }), refused);
    assert.deepEqual(seen, ["192.0.2.7", "peer", "peer"]);
  });

  it("authenticate makes every caller admin where it is off, and still tells parts from others", async () => {
    await using access = await startAccess({ enabled: false });
    const own = await access.caller({});
    assert.deepEqual([own.principal, own.viaPart], [LOCAL, false]);
    const part = await access.caller({ [PART_TOKEN_HEADER]: partToken(CLUSTER_KEY) });
    assert.deepEqual([part.principal, part.viaPart], [LOCAL, true]);
  });

  it("authenticate makes no caller of another machine admin where it is off, for a gateway beside the manager may be open to all", async () => {
    await using access = await startAccess({ enabled: false });
    const from = (address: string) => ({ [FORWARDED_FOR_HEADER]: address });
    for (const address of ["127.0.0.1", "::1"]) assert.deepEqual((await access.caller(from(address))).principal, LOCAL);
    for (const more of [{}, basic("admin", "päss:word"), { [PART_TOKEN_HEADER]: partToken(CLUSTER_KEY) }]) {
      await assert.rejects(access.caller({ ...from("192.0.2.9"), ...more }), refused);
    }
    await using open = await startAccess({ enabled: false, openToOthers: true });
    assert.deepEqual((await open.caller(from("192.0.2.9"))).principal, LOCAL);
  });
});

describe("authenticate by the store", () => {
  it("authenticate knows a user by password and by token, with the rights of all its user_groups, and reads a known one once", async () => {
    await using access = await startAccess();
    await putUser(access.store, "ann", { passwordHash: await hashPassword("correct horse"), token: "anns-own-token-of-text" });
    await putGroup(access.store, "web", ["ann"], { web: "rw" });
    await putGroup(access.store, "look", ["ann", "bob"], { "*": "ro" });
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
    await using access = await startAccess();
    await putUser(access.store, "ann", { passwordHash: await hashPassword("correct horse") });
    access.reads.length = 0;
    await Promise.all(Array.from({ length: 50 }, () => access.caller(basic("ann", "correct horse"))));
    assert.deepEqual(access.reads, ["getUser", "groupsOf"]);
  });

  it("authenticate reads the store no more for a credential once every call that brought it has gone, and checks it for the next one", async () => {
    await using access = await startAccess();
    const token = newToken();
    await enrol(access.store, "d1", token);
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

  it("authenticate refuses a call that came after its credential ended, also where a check from before goes on", async () => {
    await using access = await startAccess();
    await putUser(access.store, "ann", { token: "anns-own-token-of-text" });
    const { promise: isOver, resolve: goOn } = Promise.withResolvers<void>();
    const groupsOf = access.store.groupsOf.bind(access.store);
    let held = 0;
    Object.assign(access.store, {
      async groupsOf(...asked: Parameters<typeof groupsOf>) {
        held++;
        await isOver;
        return groupsOf(...asked);
      },
    });
    const before = access.caller(bearer("anns-own-token-of-text"));
    await eventually(() => assert.equal(held, 1));
    await putUser(access.store, "ann", { token: "another-token-of-text" });
    access.feed.publish({ kind: "access", subject: "user/ann" });
    await eventually(() => assert.ok(access.generations.isNamedSince({ generation: 1, named: 0 }, ["user/ann"])));
    const after = [1, 2, 3].map(() => access.caller(bearer("anns-own-token-of-text")));
    goOn();
    await before; // it came before
    for (const call of after) await assert.rejects(call, { kind: "unauthenticated" });
    assert.equal(held, 1);
  });

  it("authenticate takes a bcrypt hash that was carried over, and replaces it at the first login", async () => {
    await using access = await startAccess();
    await putUser(access.store, "old", { passwordHash: await bcrypt.hash("correct horse", 4) });
    const stamp = await access.store.stamp();
    assert.equal((await access.caller(basic("old", "correct horse"))).principal.kind, "user");
    const stored = await access.store.getUser("old");
    assert.ok(stored?.passwordHash.startsWith("$argon2id$") === true);
    assert.deepEqual([stored?.revision, await access.store.stamp()], [1n, stamp]);
    await assert.rejects(access.caller(basic("old", "wrong")), refused);
  });

  it("authenticate knows a device by its token, in one read; the first use of the next token ends the one before", async () => {
    await using access = await startAccess();
    const [token, next] = [newToken(), newToken()];
    await enrol(access.store, "d1", token);
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
    await using access = await startAccess();
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

  it("authenticate gives changed rights within a second while the feed works, and within the time of the stamp without it", async () => {
    for (const everyMs of [60_000, 50]) {
      await using access = await startAccess({ everyMs });
      await putUser(access.store, "ann", { token: "anns-own-token-of-text" });
      await putGroup(access.store, "web", ["ann"], { web: "ro" });
      const ann = bearer("anns-own-token-of-text");
      const may = async () => {
        const { principal } = await access.caller(ann);
        return principal.kind === "user" && mayRead(principal.rights, { kind: "app", name: "web" });
      };
      assert.ok(await may());
      await putGroup(access.store, "web", [], { web: "ro" });
      if (everyMs === 60_000) await access.feed.publish({ kind: "access", subject: "user_group/web" });
      await eventually(async () => assert.ok(!(await may())), { timeoutMs: 1000 });
    }
  });

  it("authenticate hashes no password again when rights change, so that no storm of changes, nor of logins, turns a known user away", async () => {
    await using access = await startAccess();
    await putUser(access.store, "ann", { passwordHash: await hashPassword("anns password") });
    const ann = basic("ann", "anns password");
    await access.caller(ann);
    const changed = async () => {
      const generation = access.generations.current;
      await putGroup(access.store, "others", [], { web: "ro" });
      await access.feed.publish({ kind: "access", subject: "user_group/others" });
      await eventually(() => assert.ok(access.generations.current > generation), { timeoutMs: 1000 });
    };
    await changed();
    const busy = Array.from({ length: 66 }, () => hashPassword("somebody else's"));
    await assert.rejects(access.caller(basic("nobody", "x"), "192.0.2.9:1"), (error) => isNebulaError(error, "resource_exhausted"));
    assert.equal((await access.caller(ann)).principal.kind, "user");
    await Promise.all(busy);
    await putUser(access.store, "ann", { passwordHash: await hashPassword("another one") });
    await changed();
    await assert.rejects(access.caller(ann), refused);
    await putUser(access.store, "ann", { passwordHash: await hashPassword("anns password") }); // under another salt: it is looked at from the beginning
    await changed();
    assert.equal((await access.caller(ann)).principal.kind, "user");
  });

  it("authenticate keeps known credentials while the store is unreachable, and rejects others as unavailable, without counting a failed login", async () => {
    await using access = await startAccess({ everyMs: 20 });
    const [known, unknown] = [newToken(), newToken()];
    await enrol(access.store, "d1", known);
    await enrol(access.store, "d2", unknown);
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
