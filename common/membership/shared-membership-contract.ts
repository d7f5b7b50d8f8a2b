import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import type { Clock } from "../clock/clock.ts";
import { isNebulaError } from "../errors/nebula-error.ts";
import { eventually } from "../testing/eventually.ts";
import { LEASE_MS, type Member, type Membership, RENEW_MS } from "./membership.ts";

/** Memberships of several processes on one backend. */
export type SharedMemberships = AsyncDisposable &
  Readonly<{
    /** The clock of the memberships. */
    clock: Clock;
    /** The membership of one more process. */
    open: () => Promise<Membership>;
    /** Makes the backend unreachable. */
    stop: () => Promise<void>;
    /** Makes the backend reachable again. */
    start: () => Promise<void>;
  }>;

const boots = (membership: Membership) => membership.members().map(({ boot }) => boot);
const taken = (error: unknown) => isNebulaError(error, "failed_precondition") && /NEBULA_SHARD/.test(error.message);

/**
 * The promises of every Membership of several processes. `open` yields a backend without members, or one that does not
 * show members of other tests.
 */
export function describeSharedMembership(driver: string, open: () => Promise<SharedMemberships>): void {
  describe(`Membership of several processes: ${driver}`, function () {
    this.timeout(60_000);
    let shared: SharedMemberships;
    const opened: Membership[] = [];
    beforeEach(async () => {
      shared = await open();
    });
    afterEach(async () => {
      for (const membership of opened.splice(0)) await membership[Symbol.asyncDispose]();
      await shared[Symbol.asyncDispose]();
    });
    const fresh = (name = `shard-${randomBytes(4).toString("hex")}`): Member => ({
      name,
      address: `${name}:50051`,
      boot: randomBytes(6).toString("hex"),
    });
    const openOne = async () => {
      const membership = await shared.open();
      opened.push(membership);
      return membership;
    };
    const joined = async (self = fresh()) => {
      const membership = await openOne();
      await membership.join(self);
      return { membership, self };
    };
    /** Checks repeatedly for this time by the clock of the memberships. */
    const during = async (ms: number, check: () => void) => {
      const { clock } = shared;
      for (const end = clock.monotonic() + ms; clock.monotonic() < end; await clock.sleep(300, new AbortController().signal)) check();
    };
    /** Two shards that know each other. */
    const two = async () => {
      const [one, other] = await Promise.all([joined(), joined()]);
      const all = [one.self.boot, other.self.boot].sort();
      for (const { membership } of [one, other]) await eventually(() => assert.deepEqual(boots(membership).sort(), all));
      return { one, other, all };
    };

    it("each shard is listed at all others, whole and by name, also at a process that did not join", async () => {
      const reader = await openOne();
      const { one, other } = await two();
      const members = [one.self, other.self].sort((a, b) => (a.name < b.name ? -1 : 1));
      for (const { membership } of [one, other]) assert.deepEqual(membership.members(), members);
      await eventually(() => assert.deepEqual(reader.members(), members), { timeoutMs: 30_000 });
      assert.equal(reader.self, undefined);
      assert.ok([reader, one.membership, other.membership].every(({ reachable, lost }) => reachable && !lost.aborted));
    });

    it("a shard that left is dropped before its lease ends", async () => {
      const { one, other } = await two();
      const leftAt = shared.clock.monotonic();
      await other.membership.leave();
      await eventually(() => assert.deepEqual(boots(one.membership), [one.self.boot]));
      assert.ok(shared.clock.monotonic() - leftAt < LEASE_MS);
    });

    it("a shard that died is dropped when its lease has ended, and no sooner", async () => {
      const { one, other } = await two();
      const diedAt = shared.clock.monotonic();
      await other.membership[Symbol.asyncDispose]();
      await eventually(() => assert.deepEqual(boots(one.membership), [one.self.boot]), { everyMs: 5 });
      const after = shared.clock.monotonic() - diedAt;
      assert.ok(after >= LEASE_MS - RENEW_MS && after < 3 * LEASE_MS, `${after} ms`);
    });

    it("a shard that is impaired is shown so at the others, and that it is well again", async () => {
      const { one, other } = await two();
      const impaired = () => one.membership.members().find(({ boot }) => boot === other.self.boot)?.impaired ?? false;
      for (const state of [true, false]) {
        other.membership.setImpaired(state);
        await eventually(() => assert.equal(impaired(), state));
      }
    });

    it("the members stay while the backend is unreachable, and after that", async () => {
      const { one, other, all } = await two();
      const ends = [one.membership, other.membership];
      await shared.stop();
      await eventually(() => ends.every(({ reachable }) => !reachable));
      await during(3 * LEASE_MS, () => {
        for (const membership of ends) assert.deepEqual(boots(membership).sort(), all);
      });
      await shared.start();
      await eventually(() => ends.every(({ reachable }) => reachable));
      await during(2 * LEASE_MS, () => {
        for (const membership of ends) assert.deepEqual(boots(membership).sort(), all);
      });
    });

    it("a shard that died while the backend was unreachable is dropped one lease after that", async () => {
      const { one, other } = await two();
      await shared.stop();
      await other.membership[Symbol.asyncDispose]();
      await eventually(() => !one.membership.reachable);
      await shared.start();
      const startedAt = shared.clock.monotonic();
      await eventually(() => assert.deepEqual(boots(one.membership), [one.self.boot]), { everyMs: 5 });
      assert.ok(shared.clock.monotonic() - startedAt >= LEASE_MS - RENEW_MS);
    });

    it("a name that a live shard holds is refused to others", async () => {
      const { membership, self } = await joined();
      const second = await openOne();
      await assert.rejects(second.join(fresh(self.name)), taken);
      assert.equal(second.self, undefined);
      assert.deepEqual(membership.self, self);
      await during(2 * LEASE_MS, () => assert.deepEqual([membership.members(), membership.lost.aborted], [[self], false]));
      assert.deepEqual(boots(second), [self.boot]);
    });

    it("two shards that join at once with one name: one of them gets the name", async () => {
      const name = fresh().name;
      const both = await Promise.all([openOne(), openOne()]);
      await Promise.allSettled(both.map((membership) => membership.join(fresh(name))));
      await eventually(() => assert.equal(both.filter(({ self }) => self !== undefined).length, 1));
      const winner = both.find(({ self }) => self !== undefined);
      await during(LEASE_MS, () => assert.deepEqual([winner?.members(), winner?.lost.aborted], [[winner?.self], false]));
    });

    it("the name of a shard that died is taken over", async () => {
      const first = await joined();
      const reader = await openOne();
      await eventually(() => assert.deepEqual(boots(reader), [first.self.boot]));
      await first.membership[Symbol.asyncDispose]();
      const second = await joined(fresh(first.self.name));
      assert.deepEqual(second.membership.members(), [second.self]);
      await eventually(() => assert.deepEqual(reader.members(), [second.self]));
    });

    it("a shard that could not reach the backend at first joins when the backend is reachable", async () => {
      const { membership: first, self } = await joined();
      await shared.stop();
      await eventually(() => !first.reachable);
      const late = await openOne();
      const own = fresh();
      await late.join(own);
      assert.deepEqual([late.self, late.reachable], [undefined, false]);
      await shared.start();
      await eventually(() => assert.deepEqual(late.self, own));
      const all = [own.boot, self.boot].sort();
      for (const membership of [first, late]) await eventually(() => assert.deepEqual(boots(membership).sort(), all));
    });

    it("a shard that joined without the backend reports a name that a live shard holds", async () => {
      const first = await joined();
      await shared.stop();
      await eventually(() => !first.membership.reachable);
      const second = await openOne();
      await second.join(fresh(first.self.name));
      await shared.start();
      await eventually(() => second.lost.aborted);
      assert.ok(taken(second.lost.reason));
      assert.equal(second.self, undefined);
      assert.deepEqual([first.membership.self, first.membership.lost.aborted], [first.self, false]);
    });

    it("a shard leaves within a second and a half while the backend is unreachable", async () => {
      const { membership } = await joined();
      await shared.stop();
      const stoppedAt = shared.clock.monotonic();
      await membership.leave();
      const took = shared.clock.monotonic() - stoppedAt;
      assert.ok(took < 1500, `${took} ms`);
      assert.equal(membership.self, undefined);
      await shared.start();
    });
  });
}
