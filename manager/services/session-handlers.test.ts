import { strict as assert } from "node:assert";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { newToken, tokenHash } from "../../common/access/tokens.ts";
import { systemClock } from "../../common/clock/system-clock.ts";
import type { Drivers } from "../../common/drivers.ts";
import { type ErrorKind, isNebulaError } from "../../common/errors/nebula-error.ts";
import type { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import type { AccessStore } from "../../common/storage/access-store.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { AccessService, type ListSessionsRequestSchema, SessionCredential } from "../../gen/nebula/v1/access_pb.ts";
import { StatusService } from "../../gen/nebula/v1/status_pb.ts";
import { UserService } from "../../gen/nebula/v1/user_pb.ts";
import { MOST_SESSIONS, newSessionToken, sessionKey } from "../access/sessions.ts";
import { ADMIN, type ManagerRig, startManagerRig, TEST_SECRETS } from "../testing/manager-rig.ts";
import { basic, bearer, putTestUser } from "../testing/test-access.ts";
import { NEW_SESSIONS } from "./session-handlers.ts";

type Headers = Readonly<{ authorization: string }>;

const HOUR_MS = 3_600_000;
const PASSWORD = "correct horse";
const ANN = basic("ann", PASSWORD);
const kind = (expected: ErrorKind) => (error: unknown) => isNebulaError(error, expected);

/** The calls of this suite on one manager. */
function callsOn(channel: GrpcChannel) {
  return {
    create: (headers: Headers) => channel.unary(AccessService.method.createSession, {}, { headers }),
    list: async (headers: Headers, request: MessageInitShape<typeof ListSessionsRequestSchema> = {}) =>
      (await channel.unary(AccessService.method.listSessions, request, { headers })).sessions,
    end: (headers: Headers, id = "") => channel.unary(AccessService.method.deleteSession, { id }, { headers }),
    /** The user that a credential stands for; the kind of the refusal, where it stands for nobody. */
    async who(token: string): Promise<string> {
      try {
        return (await channel.unary(StatusService.method.getStatus, {}, { headers: bearer(token) })).user;
      } catch (error) {
        return isNebulaError(error) ? error.kind : String(error);
      }
    },
    users: (headers: Headers) => channel.unary(UserService.method.listUsers, {}, { headers }),
    changeUser: (name: string, change: { password?: string; token?: string }) =>
      channel.unary(UserService.method.updateUser, { name, ...change }, { headers: ADMIN }),
    refresh: (name: string) => channel.unary(UserService.method.refreshUserToken, { name }, { headers: ADMIN }),
    remove: (name: string) => channel.unary(UserService.method.deleteUser, { name }, { headers: ADMIN }),
  };
}

describe("sessions of users", () => {
  let rig: ManagerRig;
  let calls: ReturnType<typeof callsOn>;
  let shiftMs = 0;
  const annsToken = newToken();
  beforeEach(async () => {
    shiftMs = 0;
    rig = await startManagerRig({ clock: { ...systemClock, now: () => systemClock.now() + shiftMs } });
    calls = callsOn(rig.channel());
    await putTestUser(rig.drivers.accessStore, "ann", { password: PASSWORD, token: annsToken });
  });
  afterEach(() => rig[Symbol.asyncDispose]());

  it("a session is made with the password or token of a user, or of the local admin, and has the rights of that user", async () => {
    for (const [headers, user, madeWith] of [
      [ANN, "ann", SessionCredential.PASSWORD],
      [bearer(annsToken), "ann", SessionCredential.TOKEN],
      [ADMIN, "admin", SessionCredential.PASSWORD],
      [bearer(TEST_SECRETS.adminToken), "admin", SessionCredential.TOKEN],
    ] as const) {
      const { session, token } = await calls.create(headers);
      assert.match(token, /^nbs_[A-Za-z0-9_-]{43}$/);
      assert.deepEqual([session?.user, session?.madeWith, session?.madeFrom], [user, madeWith, "127.0.0.1"]);
      assert.ok(session?.createdAt !== undefined && session.expiresAt !== undefined);
      assert.equal(timestampMs(session.expiresAt) - timestampMs(session.createdAt), 12 * HOUR_MS);
      assert.equal(await calls.who(token), user);
      if (user === "admin") assert.ok((await calls.users(bearer(token))).users.length > 0);
      else await assert.rejects(calls.users(bearer(token)), kind("permission_denied"));
      const stored = await rig.drivers.accessStore.session(session.id);
      assert.equal(stored?.tokenHash, tokenHash(token));
      for (const secret of [token, PASSWORD, TEST_SECRETS.adminPassword, TEST_SECRETS.adminToken])
        assert.ok(!JSON.stringify(stored).includes(secret));
    }
  });

  it("a session makes no other session", async () => {
    for (const headers of [ANN, ADMIN]) {
      const { token } = await calls.create(headers);
      await assert.rejects(calls.create(bearer(token)), kind("permission_denied"));
    }
  });

  it("a session ends with the password or token that it was made with, and with no other", async () => {
    const [byPassword, byToken] = [(await calls.create(ANN)).token, (await calls.create(bearer(annsToken))).token];
    assert.deepEqual([await calls.who(byPassword), await calls.who(byToken)], ["ann", "ann"]);
    await calls.changeUser("ann", { password: "battery staple" });
    await eventually(async () => (await calls.who(byPassword)) === "unauthenticated");
    assert.equal(await calls.who(byToken), "ann");
    assert.deepEqual(
      (await calls.list(ADMIN)).map(({ madeWith }) => madeWith),
      [SessionCredential.TOKEN],
    );
    await calls.refresh("ann");
    await eventually(async () => (await calls.who(byToken)) === "unauthenticated");
    assert.deepEqual(await calls.list(ADMIN), []);
  });

  it("the sessions of a user who is deleted end, and a later user of that name has none of them", async () => {
    const { token } = await calls.create(ANN);
    assert.equal(await calls.who(token), "ann");
    await calls.remove("ann");
    await eventually(async () => (await calls.who(token)) === "unauthenticated");
    await putTestUser(rig.drivers.accessStore, "ann", { password: PASSWORD, token: annsToken });
    assert.equal(await calls.who(token), "unauthenticated");
    assert.deepEqual(await calls.list(ANN), []);
  });

  it("a session ends by itself after NEBULA_SESSION_TTL", async () => {
    const { token } = await calls.create(ANN);
    shiftMs = 12 * HOUR_MS - 60_000;
    assert.equal(await calls.who(token), "ann");
    shiftMs = 12 * HOUR_MS;
    assert.equal(await calls.who(token), "unauthenticated");
    assert.deepEqual(await calls.list(ADMIN), []);
  });

  it("a token whose hash begins as that of a session does not stand for it", async () => {
    const { accessStore } = rig.drivers;
    const { session, token } = await calls.create(ANN);
    const stored = (await accessStore.session(session?.id ?? "")) ?? assert.fail();
    const other = newSessionToken();
    await accessStore.createSession({ ...stored, id: sessionKey(other).id }, MOST_SESSIONS);
    assert.deepEqual([await calls.who(token), await calls.who(other)], ["ann", "unauthenticated"]);
  });

  it("sessions that have expired are removed from the store by any manager", async () => {
    const { accessStore } = rig.drivers;
    const madeAt = Date.now() - 13 * HOUR_MS;
    const expired = { ...sessionKey(newSessionToken()), user: "ann", boundTo: "user_token", madeFrom: "192.0.2.7" };
    await accessStore.createSession({ ...expired, createdAt: madeAt, expiresAt: madeAt + 12 * HOUR_MS }, MOST_SESSIONS);
    const { token } = await calls.create(ANN);
    await using _other = await startManagerRig({ wrapDrivers: (drivers) => ({ ...drivers, accessStore }) });
    await eventually(async () => (await accessStore.session(expired.id)) === undefined);
    assert.equal(await calls.who(token), "ann");
  });

  it("a user lists and ends its own sessions, an admin those of all", async () => {
    await putTestUser(rig.drivers.accessStore, "bob", { password: PASSWORD });
    const BOB = basic("bob", PASSWORD);
    const [first, second, ofBob] = [await calls.create(ANN), await calls.create(ANN), await calls.create(BOB)];
    const idsOf = async (headers: Headers, user = "") => (await calls.list(headers, { user })).map(({ id }) => id).sort();
    const ids = (...made: readonly { session?: { id: string } | undefined }[]) => made.map(({ session }) => session?.id).sort();
    assert.deepEqual(await idsOf(ANN), ids(first, second));
    assert.deepEqual(await idsOf(ADMIN), ids(first, second, ofBob));
    assert.deepEqual(await idsOf(ADMIN, "bob"), ids(ofBob));
    await assert.rejects(calls.list(ANN, { user: "bob" }), kind("permission_denied"));
    const current = (await calls.list(bearer(second.token))).filter((session) => session.current);
    assert.deepEqual(ids({ session: current[0] ?? assert.fail() }), ids(second));
    assert.equal(current.length, 1);

    await assert.rejects(calls.end(ANN, ofBob.session?.id), kind("not_found"));
    assert.equal(await calls.who(ofBob.token), "bob");
    await calls.end(ADMIN, ofBob.session?.id);
    await eventually(async () => (await calls.who(ofBob.token)) === "unauthenticated");
    await calls.end(ANN, first.session?.id);
    await eventually(async () => (await calls.who(first.token)) === "unauthenticated");
    assert.equal(await calls.who(second.token), "ann");
    await calls.end(bearer(second.token)); // a logout
    await eventually(async () => (await calls.who(second.token)) === "unauthenticated");
    assert.deepEqual(await idsOf(ADMIN), []);
    await assert.rejects(calls.end(ANN), (error) => isNebulaError(error, "invalid_argument") && error.violations[0]?.field === "id");
    await assert.rejects(calls.end(ADMIN, second.token), kind("invalid_argument"));
  });

  it("a user has at most 20 sessions: one more ends the oldest", async () => {
    const made: { token: string; id: string }[] = [];
    while (made.length <= MOST_SESSIONS) {
      const { token, session } = await calls.create(bearer(annsToken));
      made.push({ token, id: session?.id ?? "" });
      shiftMs += 1000; // so that they have an order
    }
    const [oldest = assert.fail(), next = assert.fail()] = made;
    await eventually(async () => (await calls.who(oldest.token)) === "unauthenticated");
    assert.equal(await calls.who(next.token), "ann");
    assert.equal((await calls.list(ANN)).length, MOST_SESSIONS);
    await eventually(async () => {
      const { items } = await rig.drivers.accessStore.listAudit({ kind: "session", name: oldest.id }, { limit: 10 });
      assert.deepEqual(
        items.map(({ who, outcome, detail }) => [who, outcome, detail]),
        [
          ["ann", "OK", "ended as the oldest of its user"],
          ["ann", "OK", "login with a token, for 720 minutes"],
        ],
      );
    });
  });

  it("a user who makes sessions without end is refused, with a time, and no other user is", async () => {
    let refusal: unknown;
    for (let made = 0; made < 40 && refusal === undefined; made++) {
      refusal = await calls.create(bearer(annsToken)).then(
        () => undefined,
        (error: unknown) => error,
      );
    }
    assert.ok(isNebulaError(refusal, "resource_exhausted") && (refusal.retryAfterMs ?? 0) > 0, String(refusal));
    assert.equal((await calls.create(ADMIN)).session?.user, "admin");
  });

  it("logins, logouts and refused logins are in the audit log, without a secret", async () => {
    const { session, token } = await calls.create(ANN);
    await calls.end(bearer(token));
    await assert.rejects(calls.create(basic("ann", "a wrong password")), kind("unauthenticated"));
    await assert.rejects(calls.end(ANN, token), kind("invalid_argument"));
    await eventually(async () => {
      const { items } = await rig.drivers.accessStore.listAudit({ kind: "session" }, { limit: 10 });
      assert.deepEqual(
        items.map(({ who, name, outcome, detail }) => [who, name, outcome, detail]).sort(),
        [
          ["ann", session?.id, "OK", "login with a password, for 720 minutes"],
          ["ann", session?.id, "OK", "of ann ended"],
          ["nobody", "", "UNAUTHENTICATED", items.find(({ who }) => who === "nobody")?.detail],
          ["ann", "", "INVALID_ARGUMENT", "not valid: id"],
        ].sort(),
      );
      for (const secret of [token, PASSWORD, "a wrong password"]) assert.ok(!JSON.stringify(items.map(({ detail }) => detail)).includes(secret));
    });
  });

  it("no session is made while authentication is off: no call needs one", async () => {
    await using open = await startManagerRig({ settings: { authEnabled: false } });
    await assert.rejects(callsOn(open.channel()).create(ANN), kind("failed_precondition"));
  });

  describe("on several managers", () => {
    /** A second manager on the same store. */
    const startOther = (wrap: (drivers: Drivers) => Partial<Drivers>, cacheTimeMs = 1000) =>
      startManagerRig({
        settings: { cacheTimeMs },
        wrapDrivers: (drivers) => ({ ...drivers, accessStore: rig.drivers.accessStore, ...wrap(drivers) }),
      });

    it("a session that one manager made counts on another, and ends there with it", async () => {
      await using other = await startOther(() => ({ changeFeed: rig.drivers.changeFeed }), HOUR_MS); // the feed alone says it
      const there = callsOn(other.channel());
      const { token } = await calls.create(ANN);
      assert.equal(await there.who(token), "ann");
      await calls.end(bearer(token));
      await eventually(async () => (await there.who(token)) === "unauthenticated");
      const ofOther = await there.create(ANN);
      assert.equal(await calls.who(ofOther.token), "ann");
    });

    it("a session that ends on one manager ends on another within cache_time where the feed loses it", async () => {
      await using other = await startOther(() => ({}));
      const there = callsOn(other.channel());
      const { token } = await calls.create(ANN);
      assert.equal(await there.who(token), "ann");
      await calls.end(bearer(token));
      await eventually(async () => (await there.who(token)) === "unauthenticated");
    });

    it("each manager counts by itself how many sessions a user makes", async () => {
      await using other = await startOther(() => ({}));
      for (let made = 0; made < NEW_SESSIONS.inARow; made++) await calls.create(bearer(annsToken));
      await assert.rejects(calls.create(bearer(annsToken)), kind("resource_exhausted"));
      assert.equal((await callsOn(other.channel()).create(bearer(annsToken))).session?.user, "ann");
    });

    it("sessions that a user makes and ends without rest have no credential of others read again, on any manager", async () => {
      const reads: string[] = [];
      let stamps = 0;
      const counted = (store: AccessStore): AccessStore =>
        new Proxy(store, {
          get(target, name) {
            const value = Reflect.get(target, name);
            if (typeof value !== "function") return value;
            return (...args: unknown[]) => {
              if (name === "stamp") stamps++;
              if (name === "tokenOwner" || name === "getUser") reads.push(`${String(name)} ${args[0]}`);
              return Reflect.apply(value, target, args);
            };
          },
        });
      const { accessStore, changeFeed } = rig.drivers;
      await using other = await startOther(() => ({ changeFeed, accessStore: counted(accessStore) }), HOUR_MS);
      const bobsToken = newToken();
      await putTestUser(accessStore, "bob", { token: bobsToken });
      for (let reading = 0; reading < 2; reading++) {
        const before = stamps; // the first of them may have begun before bob was made
        await changeFeed.publish({ kind: "access", subject: "user/bob" });
        await eventually(() => assert.ok(stamps > before));
      }
      const there = callsOn(other.channel());
      const { token: bobsSession } = await there.create(bearer(bobsToken));
      const known = [bobsToken, bobsSession];
      await eventually(async () => {
        reads.length = 0;
        for (const token of known) assert.equal(await there.who(token), "bob");
        assert.deepEqual(reads, [], "both are known there");
      });
      const stamp = await accessStore.stamp();
      let named = 0;
      using _ = changeFeed.subscribe((event) => {
        if (event.kind === "access" && event.subject.startsWith("session/")) named++;
      });
      let ends = 0;
      for (let made = 0; made < NEW_SESSIONS.inARow; made++) {
        const { session } = await calls.create(bearer(annsToken));
        if (made % 5 !== 0) continue; // more than 20 stay, so later ones end the oldest
        await calls.end(bearer(annsToken), session?.id);
        ends++;
      }
      await eventually(() => assert.ok(named > ends, `${named} sessions ended, ${ends} of them one by one`));
      for (const token of known) assert.equal(await there.who(token), "bob");
      assert.deepEqual(reads, []);
      assert.equal(await accessStore.stamp(), stamp);
    });

    it("a session of the local admin counts on another manager with the same secrets", async () => {
      await using other = await startOther(() => ({}));
      const { token } = await calls.create(ADMIN);
      assert.equal(await callsOn(other.channel()).who(token), "admin");
    });
  });
}).timeout(30_000);
