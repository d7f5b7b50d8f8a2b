import { strict as assert } from "node:assert";
import { authorizationOf } from "../../common/access/authorization.ts";
import { createMemoryLoginCounts } from "../../common/access/login-counts.ts";
import { hashPassword } from "../../common/access/password-hash.ts";
import { systemClock } from "../../common/clock/system-clock.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { createMemoryFeed } from "../../common/feed/memory-feed.ts";
import { silentLog } from "../../common/log/log.ts";
import { openSqliteAccessStore } from "../../common/storage/sqlite/access/access-store.ts";
import { createAccess } from "../../manager/access/access.ts";

/** More than the 48 places in the password queue that addresses may take which failed. */
const ATTACKERS = 60;

describe("a flood of wrong passwords", function () {
  this.timeout(120_000);

  async function start() {
    await using stack = new AsyncDisposableStack();
    const store = stack.use(await openSqliteAccessStore({ path: ":memory:" }));
    const feed = stack.use(createMemoryFeed({ log: silentLog }));
    const user = { expected: 0n, revision: 1n, deleted: false, passwordHash: await hashPassword("correct horse"), tokenHash: "" };
    for (const name of ["ann", "bob"]) await store.writeUser({ ...user, name, changedAt: 0, changedBy: "t" });
    const life = new AbortController();
    const access = createAccess({
      enabled: true,
      clusterKey: "key",
      admin: { user: "admin", password: "secret", token: undefined },
      drivers: { accessStore: store, changeFeed: feed, loginCounts: createMemoryLoginCounts() },
      clock: systemClock,
      log: silentLog,
      everyMs: 60_000,
      signal: life.signal,
    });
    stack.defer(async () => {
      life.abort();
      await access.generations.done;
    });
    const login = async (name: string, password: string, address: string): Promise<string> => {
      const authorization = authorizationOf({ kind: "password", user: name, password });
      try {
        await access.authenticate({ header: (header) => (header === "authorization" ? authorization : undefined) }, `${address}:1`);
        return "let in";
      } catch (error) {
        if (isNebulaError(error)) return error.kind;
        throw error;
      }
    };
    const opened = stack.move();
    return { login, [Symbol.asyncDispose]: () => opened.disposeAsync() };
  }

  const ways: Readonly<Record<string, (attacker: number) => string>> = {
    "from networks of their own": (attacker) => `127.0.${attacker}.1`,
    "from one network": (attacker) => `127.0.0.${attacker}`,
  };
  for (const [way, addressOf] of Object.entries(ways)) {
    it(`a flood of wrong passwords of many addresses ${way} keeps no first login out, and has no known caller wait`, async () => {
      await using rig = await start();
      let checked = 0;
      let refused = 0;
      const guess = async (attacker: number, round: number) => {
        const end = await rig.login(`user${round}`, `guess ${attacker} ${round}`, addressOf(attacker));
        if (end === "unauthenticated") checked++;
        else if (end === "resource_exhausted") refused++;
        else assert.fail(end);
      };
      assert.equal(await rig.login("bob", "correct horse", "127.200.0.1"), "let in");
      // Each address fails once first, a few at a time: then it is one that failed.
      for (let first = 0; first < ATTACKERS; first += 10) await Promise.all(Array.from({ length: 10 }, (_, at) => guess(first + at, 0)));
      assert.deepEqual([checked, refused], [ATTACKERS, 0]);

      const flood = Array.from({ length: ATTACKERS }, (_, attacker) => [1, 2].map((round) => guess(attacker, round))).flat();
      while (refused === 0) await new Promise<void>((resolve) => setImmediate(resolve)); // the queue has no place left
      const before = checked;
      assert.equal(await rig.login("bob", "correct horse", "127.200.0.1"), "let in");
      assert.equal(checked, before, "a known caller waited for a password check");
      assert.equal(await rig.login("ann", "correct horse", "127.201.0.1"), "let in");
      assert.ok(checked - before <= 6, `${checked - before} checks of the flood came before the first login`);
      await Promise.all(flood);
      assert.ok(checked >= before + 40, `${checked - before} checks: the flood did not fill the queue`);
      assert.equal(checked + refused, 3 * ATTACKERS);
    });
  }
});
