import { strict as assert } from "node:assert";
import { ManualClock } from "../clock/manual-clock.ts";
import { silentLog } from "../log/log.ts";
import { fastClock } from "../testing/fast-clock.ts";
import { MemoryLeases } from "../testing/memory-leases.ts";
import type { Lease } from "./lease.ts";
import { LeaseMembership } from "./lease-membership.ts";
import { LEASE_MS, type Member } from "./membership.ts";
import { describeMembership } from "./membership-contract.ts";
import { describeSharedMembership } from "./shared-membership-contract.ts";

const clock = fastClock(20);

describeMembership("leases", async () => new LeaseMembership({ table: new MemoryLeases().end(), clock, log: silentLog }));

describeSharedMembership("leases", async () => {
  const leases = new MemoryLeases();
  const down = (isDown: boolean) => async () => {
    leases.isDown = isDown;
  };
  return {
    clock,
    open: async () => new LeaseMembership({ table: leases.end(), clock, log: silentLog }),
    stop: down(true),
    start: down(false),
    async [Symbol.asyncDispose]() {},
  };
});

/** Memberships over one table and a clock that the test moves. */
function startManual() {
  const manual = new ManualClock();
  const leases = new MemoryLeases();
  const opened: LeaseMembership[] = [];
  const open = (table = leases.end()) => {
    const membership = new LeaseMembership({ table, clock: manual, log: silentLog });
    opened.push(membership);
    return membership;
  };
  const join = async (name: string, table = leases.end()) => {
    const membership = open(table);
    await manual.advance(0);
    const joining = membership.join(member(name));
    await manual.advance(5000);
    await joining;
    return membership;
  };
  return {
    clock: manual,
    leases,
    open,
    join,
    async [Symbol.asyncDispose]() {
      for (const membership of opened) await membership[Symbol.asyncDispose]();
      assert.equal(manual.sleeping, 0);
    },
  };
}

const member = (name: string): Member => ({ name, address: `${name}:1`, boot: `boot-${name}-${Math.random()}` });
const names = (membership: LeaseMembership) => membership.members().map(({ name }) => name);

describe("a membership by leases", () => {
  it("a membership joins after two reads 4 s apart, and no sooner", async () => {
    await using rig = startManual();
    const membership = rig.open();
    await rig.clock.advance(0);
    const joining = membership.join(member("a"));
    await rig.clock.advance(3999);
    assert.deepEqual(names(membership), []);
    assert.equal(rig.leases.stored.get("a")?.state, "joining");
    await rig.clock.advance(1);
    await joining;
    assert.equal(membership.self?.name, "a");
    assert.equal(rig.leases.stored.get("a")?.state, "member");
  });

  it("a membership knows the live others when it has joined", async () => {
    await using rig = startManual();
    await rig.join("a");
    assert.deepEqual(names(await rig.join("b")), ["a", "b"]);
  });

  it("a membership shows a change at once, the next one 10 s later, and a shard that left at once", async () => {
    await using rig = startManual();
    const membership = await rig.join("a");
    await rig.clock.advance(LEASE_MS);
    const changes: [number, string][] = [];
    const startedAt = rig.clock.monotonic();
    membership.onChange((members) => changes.push([rig.clock.monotonic() - startedAt, members.map(({ name }) => name).join()]));
    const [, c] = await Promise.all([rig.join("b"), rig.join("c")]); // joined at 4 s
    const d = rig.join("d");
    await rig.clock.advance(20_000);
    await (await d).leave();
    await c.leave();
    await rig.clock.advance(3000);
    assert.deepEqual(
      changes.map(([, shown]) => shown),
      ["a,b,c", "a,b,c,d", "a,b"],
    );
    const [first = 0, second = 0] = changes.map(([at]) => at);
    assert.ok(first <= 4000 + 3000 && second - first >= LEASE_MS && second - first <= LEASE_MS + 3000, `${first} ms, ${second} ms`);
  });

  it("a membership does not move members back and forth where the table is reachable for 4 s in 8", async () => {
    await using rig = startManual();
    const membership = await rig.join("a");
    await rig.join("b");
    await rig.clock.advance(LEASE_MS);
    let changes = 0;
    membership.onChange(() => changes++);
    for (let round = 0; round < 20; round++) {
      rig.leases.isDown = round % 2 === 0;
      await rig.clock.advance(4000);
    }
    assert.equal(changes, 0);
    assert.deepEqual(names(membership), ["a", "b"]);
  });

  it("a membership drops a shard that is cut off from the table, which keeps what it knew", async () => {
    await using rig = startManual();
    const cut = rig.leases.end();
    const [a, b] = [await rig.join("a"), await rig.join("b", cut)];
    await rig.clock.advance(LEASE_MS);
    cut.cut = true;
    await rig.clock.advance(3 * LEASE_MS);
    assert.deepEqual([names(a), names(b)], [["a"], ["a", "b"]]);
    cut.cut = false;
    await rig.clock.advance(LEASE_MS);
    assert.deepEqual(
      [names(a), names(b)],
      [
        ["a", "b"],
        ["a", "b"],
      ],
    );
  });

  it("a membership loses no member where the table is emptied", async () => {
    await using rig = startManual();
    const members = [await rig.join("a"), await rig.join("b")];
    await rig.clock.advance(LEASE_MS);
    let changes = 0;
    for (const membership of members) membership.onChange(() => changes++);
    for (let round = 0; round < 5; round++) {
      rig.leases.stored.clear();
      await rig.clock.advance(7000);
    }
    assert.equal(changes, 0);
    assert.deepEqual(members.map(names), [
      ["a", "b"],
      ["a", "b"],
    ]);
  });

  it("a membership takes copies of earlier leases neither for a live shard nor for a holder of its name", async () => {
    await using rig = startManual();
    const recorded: Lease[] = [];
    const before = await rig.join("a");
    for (let round = 0; round < 10; round++) {
      const lease = rig.leases.stored.get("a");
      if (lease !== undefined) recorded.push(lease);
      await rig.clock.advance(3000);
    }
    await before[Symbol.asyncDispose]();
    const watcher = await rig.join("b");
    assert.deepEqual(names(watcher), ["b"]);
    const after = rig.open();
    await rig.clock.advance(0);
    const joining = after.join(member("a"));
    for (const lease of recorded) {
      await rig.clock.advance(1000);
      rig.leases.stored.set("a", lease);
    }
    await rig.clock.advance(2 * LEASE_MS);
    await joining;
    assert.equal(after.self?.name, "a");
    assert.deepEqual(watcher.members(), after.members());
    for (const lease of recorded) {
      rig.leases.stored.set("a", lease);
      await rig.clock.advance(3000);
    }
    assert.deepEqual([after.self?.name, after.lost.aborted], ["a", false]);
    assert.deepEqual(watcher.members(), after.members());
  });

  it("a membership removes the lease of a shard that died a minute ago, and no live one", async () => {
    await using rig = startManual();
    await rig.join("a");
    const dead = await rig.join("b");
    await dead[Symbol.asyncDispose]();
    await rig.clock.advance(50_000);
    assert.deepEqual([...rig.leases.stored.keys()].sort(), ["a", "b"]);
    await rig.clock.advance(20_000);
    assert.deepEqual([...rig.leases.stored.keys()], ["a"]);
  });

  it("a membership leaves within a second where the table hangs", async () => {
    await using rig = startManual();
    const membership = await rig.join("a");
    const release = rig.leases.hang();
    const leaving = membership.leave();
    await rig.clock.advance(1000);
    await leaving;
    assert.equal(membership.self, undefined);
    release();
  });

  it("a membership keeps a member that stood still for half a minute, and the others that this member knows", async () => {
    await using rig = startManual();
    const [a, b] = [await rig.join("a"), await rig.join("b")];
    await rig.clock.advance(LEASE_MS);
    const release = rig.leases.hang(); // nobody's reads or writes end
    await rig.clock.advance(30_000);
    release();
    await rig.clock.advance(0);
    assert.deepEqual(
      [names(a), names(b)],
      [
        ["a", "b"],
        ["a", "b"],
      ],
    );
    await rig.clock.advance(2 * LEASE_MS);
    assert.deepEqual(
      [names(a), names(b)],
      [
        ["a", "b"],
        ["a", "b"],
      ],
    );
  });
});
