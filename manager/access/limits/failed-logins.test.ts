import { strict as assert } from "node:assert";
import { createMemoryLoginCounts, type LoginCounts, type SharedCount } from "../../../common/access/login-counts.ts";
import { ManualClock } from "../../../common/clock/manual-clock.ts";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { silentLog } from "../../../common/log/log.ts";
import { unhandledDuring } from "../../../common/testing/unhandled-during.ts";
import { type Attempt, createFailedLogins, type FailedLogins } from "./failed-logins.ts";

function start() {
  const clock = new ManualClock();
  return { clock, logins: createFailedLogins({ shared: createMemoryLoginCounts(), clock, log: silentLog, signal: new AbortController().signal }) };
}

const refused = (error: unknown) =>
  isNebulaError(error, "resource_exhausted") && error.retryAfterMs !== undefined && /try again in \d+ s/.test(error.message);

/** One try that fails; answers how long it was held up, milliseconds of the manual clock. */
async function fail(logins: FailedLogins, clock: ManualClock, attempt: Attempt): Promise<number> {
  const before = clock.monotonic();
  let isIn = false;
  const begun = logins.begin(attempt).finally(() => {
    isIn = true;
  });
  begun.catch(() => {});
  for (let turns = 0; turns < 5; turns++) await Promise.resolve();
  while (!isIn) {
    await clock.advance(50);
    for (let turns = 0; turns < 5; turns++) await Promise.resolve();
  }
  const end = await begun;
  end("invalid");
  return clock.monotonic() - before;
}

const ANN = { address: "192.0.2.1", user: "ann" };

describe("failed logins", () => {
  it("failed logins cost nothing at first, then a growing delay, then a refusal with a retry time, after which one more try may succeed", async () => {
    const { clock, logins } = start();
    const held: number[] = [];
    for (let tries = 0; tries < 10; tries++) held.push(await fail(logins, clock, ANN));
    assert.deepEqual(held, [0, 0, 0, 250, 500, 1000, 2000, 4000, 4000, 4000]);
    await assert.rejects(logins.begin(ANN), refused);
    await clock.advance(30_000);
    (await logins.begin(ANN))("invalid");
    await clock.advance(30_000);
    await assert.rejects(logins.begin(ANN), refused, "the refusal grows");
  });

  it("failed logins of (address, user) hold up neither the same user elsewhere nor another user at the same address", async () => {
    const { clock, logins } = start();
    for (let tries = 0; tries < 10; tries++) await fail(logins, clock, ANN);
    await assert.rejects(logins.begin(ANN), refused);
    assert.equal(await fail(logins, clock, { ...ANN, address: "192.0.2.2" }), 0);
    assert.equal(await fail(logins, clock, { ...ANN, user: "bob" }), 0);
  });

  it("failed logins are counted per address, too, for all user names; passwords delay no tokens, and tokens no passwords", async () => {
    const { clock, logins } = start();
    const { address } = ANN;
    for (let tries = 0; tries < 60; tries++) await fail(logins, clock, { address, user: `user${tries}` });
    await assert.rejects(logins.begin({ address, user: "somebody" }), refused);
    assert.equal(await fail(logins, clock, { address, user: undefined }), 0);
    assert.equal(await fail(logins, clock, { address: "192.0.2.2", user: "somebody" }), 0);
  });

  it("L2: many tries at once are as slow as one after the other", async () => {
    const { clock, logins } = start();
    let begun = 0;
    const tries = Array.from({ length: 200 }, () =>
      logins.begin(ANN).then((end) => {
        begun++;
        setImmediate(() => end("invalid"));
      }),
    );
    const results = Promise.allSettled(tries);
    for (let step = 0; step < 400; step++) {
      await clock.advance(50);
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    const settled = await results;
    assert.ok(begun <= 10, `${begun} were looked at`);
    for (const result of settled) if (result.status === "rejected") assert.ok(refused(result.reason));
  });

  it("a stop leaves no rejected promise behind when it comes while more tries wait than may", async () => {
    const clock = new ManualClock();
    const life = new AbortController();
    const logins = createFailedLogins({ shared: createMemoryLoginCounts(), clock, log: silentLog, signal: life.signal });
    const unhandled = await unhandledDuring(async () => {
      for (let failures = 0; failures < 5; failures++) await fail(logins, clock, ANN);
      const tries = Array.from({ length: 30 }, () => Promise.allSettled([logins.begin(ANN), logins.failed(ANN)]));
      await new Promise<void>((resolve) => setImmediate(resolve));
      life.abort(new Error("the manager stops"));
      const results = (await Promise.all(tries)).flat();
      const reasons = results.map((result) => result.status === "rejected" && result.reason);
      assert.ok(reasons.some(refused), "no try was refused at once");
      const isStopped = (reason: unknown) => reason instanceof Error && reason.message === "the manager stops";
      assert.ok(reasons.some(isStopped), "no try was waiting");
    });
    assert.deepEqual(unhandled, []);
  });

  it("failed logins are forgotten by a login of that user from there, and in time", async () => {
    const { clock, logins } = start();
    for (let tries = 0; tries < 5; tries++) await fail(logins, clock, ANN);
    await clock.advance(4000);
    (await logins.begin(ANN))("valid");
    assert.equal(await fail(logins, clock, ANN), 0);
    for (let tries = 0; tries < 6; tries++) await fail(logins, clock, ANN);
    await clock.advance(30 * 60_000);
    assert.equal(await fail(logins, clock, ANN), 0);
  });

  it("L3: failed logins are kept for a bounded number of addresses and users", async () => {
    const { clock, logins } = start();
    for (let tries = 0; tries < 10; tries++) await fail(logins, clock, ANN);
    for (let other = 0; other < 10_000; other++) (await logins.begin({ address: `10.0.${other >> 8}.${other & 255}`, user: "x" }))("invalid");
    assert.equal(await fail(logins, clock, ANN), 0, "the one that was used longest ago went");
  });

  it("failures of attempts that skipped the limit are answered late, then with a refusal", async () => {
    const { clock, logins } = start();
    const token = { address: "192.0.2.1", user: undefined };
    for (let tries = 0; tries < 19; tries++) await logins.failed(token);
    let isAnswered = false;
    const answered = logins.failed(token).then(() => {
      isAnswered = true;
    });
    await new Promise<void>((resolve) => setImmediate(resolve));
    assert.ok(!isAnswered);
    await clock.advance(100);
    await answered;
    for (let tries = 0; tries < 39; tries++) {
      const late = logins.failed(token);
      await clock.advance(1000);
      await late;
    }
    await assert.rejects(logins.failed(token), refused);
    await clock.advance(3 * 3_600_000);
    await logins.failed(token);
  });

  /** The counts that shards share; `isSilent`: as a Redis that does not answer. */
  function startShared(clock: ManualClock) {
    const failures = new Map<string, { count: number; at: number }>();
    const state = { isSilent: false, failures };
    const shared: LoginCounts = {
      async read(keys): Promise<readonly SharedCount[] | undefined> {
        if (state.isSilent) return undefined;
        return keys.map((key) => {
          const found = failures.get(key) ?? { count: 0, at: 0 };
          return { failures: found.count, agoMs: clock.monotonic() - found.at };
        });
      },
      add(keys) {
        if (state.isSilent) return;
        for (const key of keys) failures.set(key, { count: (failures.get(key)?.count ?? 0) + 1, at: clock.monotonic() });
      },
      clear: (key) => void failures.delete(key),
      async [Symbol.asyncDispose]() {},
    };
    return { shared, state };
  }

  it("L5: failed logins are counted by all shards together: a guesser who goes from one to the next gains no guess", async () => {
    const clock = new ManualClock();
    const { shared, state } = startShared(clock);
    const shards = Array.from({ length: 3 }, () => createFailedLogins({ shared, clock, log: silentLog, signal: new AbortController().signal }));
    const shardOf = (index: number) => shards[index % shards.length] ?? assert.fail();
    const held: number[] = [];
    for (let tries = 0; tries < 10; tries++) held.push(await fail(shardOf(tries), clock, ANN));
    assert.deepEqual(held, [0, 0, 0, 250, 500, 1000, 2000, 4000, 4000, 4000]);
    for (const shard of shards) await assert.rejects(shard.begin(ANN), refused);
    assert.equal(await fail(shardOf(0), clock, { ...ANN, address: "192.0.2.2" }), 0);
    state.isSilent = true;
    const alone = createFailedLogins({ shared, clock, log: silentLog, signal: new AbortController().signal });
    assert.equal(await fail(alone, clock, ANN), 0, "without an answer a shard counts alone");
    await assert.rejects(shardOf(0).begin(ANN), refused, "and knows what it heard before");
  });

  it("L5: failed logins are forgotten by all shards after a valid login of the user", async () => {
    const clock = new ManualClock();
    const { shared, state } = startShared(clock);
    const shards = Array.from({ length: 2 }, () => createFailedLogins({ shared, clock, log: silentLog, signal: new AbortController().signal }));
    const [one, other] = shards;
    assert.ok(one !== undefined && other !== undefined);
    for (let tries = 0; tries < 5; tries++) await fail(one, clock, ANN);
    await clock.advance(4000);
    (await other.begin(ANN))("valid");
    assert.deepEqual(
      [...state.failures.keys()].map((key) => key.split(" ")[0]),
      ["password"],
      "the count of the address stays",
    );
    assert.equal(await fail(other, clock, ANN), 0);
  });
});
