import { strict as assert } from "node:assert";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { session } from "../../common/storage/contracts/access-store-samples.ts";
import { NO_RIGHTS } from "./rights/rights.ts";
import { LONGEST_UNREAD_MS, type Login, LoginIndex, subjectsOf, VerifiedCredentials } from "./verified-credentials.ts";

const SESSION_MS = 10_000;

function start(limit = 3) {
  const clock = new ManualClock();
  const index = new LoginIndex();
  const generation = { current: 1 };
  const verified = new VerifiedCredentials({ limit, index, generation: () => generation.current, sessionMs: SESSION_MS, clock });
  const loginOf = (id: string): Login => ({
    id,
    verified: { principal: { kind: "device", deviceId: id, deviceGroup: "g", tokenHash: id }, source: { kind: "token" }, userGroups: [] },
    generation: generation.current,
    readAt: clock.monotonic(),
    isSuspect: false,
    ended: false,
  });
  const known = (...ids: string[]) => ids.map((id) => verified.get(id) !== undefined);
  return { clock, index, generation, verified, loginOf, known };
}

describe("verified credentials", () => {
  it("V1: the verified credentials are at most their limit, the ones used last; the index holds those alone", () => {
    const { verified, index, loginOf, known } = start();
    for (const id of ["a", "b", "c"]) verified.add(loginOf(id));
    assert.equal(verified.get("a")?.id, "a");
    verified.add(loginOf("d"));
    assert.deepEqual([verified.size, index.size], [3, 3]);
    assert.deepEqual(known("a", "b", "c", "d"), [true, false, true, true]);
    verified.add(loginOf("d"));
    assert.deepEqual([verified.size, index.size, index.of("device/d").length], [3, 3, 1]);
  });

  it("V3, V4: a credential of an earlier generation is read again, and stays known as valid until it is refused", () => {
    const { verified, generation, loginOf, known } = start();
    for (const id of ["a", "b"]) verified.add(loginOf(id));
    generation.current = 2;
    assert.deepEqual(known("a", "b"), [false, false]);
    assert.deepEqual([verified.before("a")?.id, verified.before("c")], ["a", undefined]);
    verified.add(loginOf("a"));
    verified.refuse("b");
    assert.deepEqual([...known("a", "b"), verified.before("b")], [true, false, undefined]);
  });

  it("V4: a credential that was named is read again, and every one that was read an hour ago", async () => {
    const { clock, verified, loginOf, known } = start();
    verified.add(loginOf("a"));
    verified.add({ ...loginOf("b"), isSuspect: true });
    assert.deepEqual(known("a", "b"), [true, false]);
    await clock.advance(LONGEST_UNREAD_MS - 1);
    assert.deepEqual(known("a"), [true]);
    await clock.advance(1);
    assert.deepEqual([...known("a"), verified.before("a")?.id], [false, "a"]);
  });

  const principal = { kind: "user", name: "ann", rights: NO_RIGHTS } as const;

  it("V4: a session is read again sooner than any other credential, and stays known as valid while the store is unreachable", async () => {
    const { clock, verified, loginOf, known } = start();
    const source = { kind: "session", session: session("s1", { expiresAt: clock.now() + LONGEST_UNREAD_MS }) } as const;
    const login = { ...loginOf("a"), verified: { principal, source, userGroups: [] } };
    verified.add(login);
    verified.add(loginOf("b"));
    await clock.advance(SESSION_MS - 1);
    assert.deepEqual(known("a", "b"), [true, true]);
    await clock.advance(1);
    assert.deepEqual([...known("a", "b"), verified.isRecent(login)], [false, true, true]);
    verified.add({ ...login, readAt: clock.monotonic() });
    assert.deepEqual(known("a"), [true]);
  });

  it("V4: a session counts until it expires, and not beyond: also not while the store is unreachable", async () => {
    const { clock, verified, loginOf, known } = start();
    const source = { kind: "session", session: session("s1", { expiresAt: clock.now() + 60_000 }) } as const;
    const login = { ...loginOf("a"), verified: { principal, source, userGroups: ["ops"] } };
    await clock.advance(59_999);
    login.readAt = clock.monotonic();
    verified.add(login);
    assert.deepEqual([...known("a"), verified.isRecent(login)], [true, true]);
    await clock.advance(1);
    assert.deepEqual([...known("a"), verified.isRecent(login)], [false, false]);
    assert.deepEqual(subjectsOf(login.verified), ["user/ann", `session/${source.session.id}`, "user_group/ops"]);
  });
});
