import { strict as assert } from "node:assert";
import { createMemoryLoginCounts } from "../../../common/access/login-counts.ts";
import { hashPassword } from "../../../common/access/password-hash.ts";
import { newToken } from "../../../common/access/tokens.ts";
import { systemClock } from "../../../common/clock/system-clock.ts";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { createMemoryFeed } from "../../../common/feed/memory-feed.ts";
import { silentLog } from "../../../common/log/log.ts";
import { openSqliteAccessStore } from "../../../common/storage/sqlite/access/access-store.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import { putTestDevice, putTestUser } from "../../testing/test-access.ts";
import { createAccess } from "../access.ts";

const ADDRESS = "192.0.2.1";

/** Authentication whose clock a test may have run ahead; every wait of it is over at once. */
async function start() {
  await using stack = new AsyncDisposableStack();
  const store = stack.use(await openSqliteAccessStore({ path: ":memory:" }));
  const feed = stack.use(createMemoryFeed({ log: silentLog }));
  const life = new AbortController();
  let waitedMs = 0;
  const clock = {
    now: () => systemClock.now(),
    monotonic: () => systemClock.monotonic() + waitedMs,
    async sleep(ms: number, signal: AbortSignal) {
      if (ms > 30_000) return await systemClock.sleep(ms, signal); // the next look at the stamp
      waitedMs += ms;
      await new Promise<void>((resolve) => setImmediate(resolve));
    },
  };
  const admin = { user: "admin", password: "secret", token: "t0ken" };
  const access = createAccess({
    enabled: true,
    clusterKey: "key",
    admin,
    drivers: { accessStore: store, changeFeed: feed, loginCounts: createMemoryLoginCounts() },
    clock,
    log: silentLog,
    everyMs: 60_000,
    signal: life.signal,
  });
  stack.defer(async () => {
    life.abort();
    await access.generations.done;
  });
  await eventually(() => assert.equal(access.generations.current, 1), { timeoutMs: 2000 });
  const opened = stack.move();
  const call = async (authorization: string, address = ADDRESS) =>
    (await access.authenticate({ header: (name) => (name === "authorization" ? authorization : undefined) }, `${address}:1`)).principal.kind;
  return {
    store,
    feed,
    access,
    call,
    waited: () => waitedMs,
    /** Fails with what `credential` makes until it is refused; answers how often it was looked at. */
    async guess(credential: (index: number) => string, address = ADDRESS): Promise<number> {
      for (let index = 0; index < 500; index++) {
        const error = await call(credential(index), address).then(
          () => assert.fail("was let in"),
          (thrown: unknown) => thrown,
        );
        if (isNebulaError(error, "resource_exhausted")) {
          assert.ok(error.retryAfterMs !== undefined && error.retryAfterMs > 1000);
          return index;
        }
        assert.ok(isNebulaError(error, "unauthenticated"), String(error));
      }
      return assert.fail("was never refused");
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

const basic = (user: string, password: string) => `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
const refused = (error: unknown) => isNebulaError(error, "resource_exhausted");

describe("failed logins, and everybody else", () => {
  it("a caller who guesses a password is refused after a few tries, each later than the one before", async () => {
    await using rig = await start();
    assert.equal(await rig.guess((index) => basic("admin", `guess ${index}`)), 10);
    assert.ok(rig.waited() > 10_000, `${rig.waited()} ms`);
    await assert.rejects(rig.call(basic("admin", "secret")), refused, "the right password would tell a guesser that it is");
    assert.equal(await rig.call(basic("admin", "secret"), "192.0.2.2"), "user");
  });

  it("a caller who guesses tokens is refused, short ones before they are looked up", async () => {
    await using rig = await start();
    assert.equal(await rig.guess((index) => `Bearer guess${index}`), 60);
    await assert.rejects(rig.call("Bearer t0ken"), refused);
    await using another = await start();
    assert.ok((await another.guess(() => `Bearer ${newToken()}`)) <= 60);
  });

  it("a credential that was found valid before is never held up by failed logins, not even where it has to be looked up again", async () => {
    await using rig = await start();
    await putTestUser(rig.store, "ann", { password: "correct horse" });
    assert.equal(await rig.call(basic("ann", "correct horse")), "user");
    await rig.guess((index) => basic("ann", `guess ${index}`));
    let waited = rig.waited();
    assert.equal(await rig.call(basic("ann", "correct horse")), "user");
    assert.equal(rig.waited(), waited);
    const generation = rig.access.generations.current;
    await putTestUser(rig.store, "bob", {});
    rig.feed.publish({ kind: "access", subject: "user/bob" });
    await eventually(() => assert.ok(rig.access.generations.current > generation), { timeoutMs: 1000 });
    waited = rig.waited(); // reads of the stamp wait, too
    assert.equal(await rig.call(basic("ann", "correct horse")), "user");
    assert.equal(rig.waited(), waited);
  });

  it("devices behind an address at which credentials are guessed are never delayed, new devices included", async () => {
    await using rig = await start();
    const tokens = await Promise.all(Array.from({ length: 30 }, (_, index) => putTestDevice(rig.store, `d${index}`, "g")));
    await rig.guess((index) => basic("admin", `guess ${index}`));
    await rig.guess((index) => `Bearer guess${index}`);
    const waited = rig.waited();
    for (const token of tokens) assert.equal(await rig.call(`Bearer ${token}`), "device");
    assert.equal(rig.waited(), waited);
  });

  it("a guess for an unknown user takes as much time as for a known one", async () => {
    await using rig = await start();
    await rig.store.writeUser({
      name: "ann",
      expected: 0n,
      revision: 1n,
      deleted: false,
      passwordHash: await hashPassword("correct horse"),
      tokenHash: "",
      changedAt: 0,
      changedBy: "t",
    });
    const timeOf = async (user: string, from: string) => {
      const started = performance.now();
      await assert.rejects(rig.call(basic(user, "wrong"), from));
      return performance.now() - started;
    };
    await timeOf("nobody", "198.51.100.1"); // the first one makes what the others are compared with
    const times: Record<string, number[]> = { ann: [], nobody: [] };
    for (let round = 0; round < 7; round++) for (const [user, all] of Object.entries(times)) all.push(await timeOf(user, `198.51.100.${round + 2}`));
    const [known = 0, unknown = 0] = Object.values(times).map((all) => all.toSorted((a, b) => a - b)[3]);
    assert.ok(unknown > known / 3 && unknown < known * 3, `${unknown} ms, ${known} ms`);
  });
});
