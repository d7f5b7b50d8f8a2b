import { strict as assert } from "node:assert";
import { ManualClock } from "../../../../common/clock/manual-clock.ts";
import { isNebulaError } from "../../../../common/errors/nebula-error.ts";
import { silentLog } from "../../../../common/log/log.ts";
import { LeaseMembership } from "../../../../common/membership/lease-membership.ts";
import { createMemoryMembership } from "../../../../common/membership/memory-membership.ts";
import { MemoryLeases } from "../../../../common/testing/memory-leases.ts";
import { assertNoShardLives } from "./no-live-shard.ts";

const never = new AbortController().signal;

describe("the look for shards that run", () => {
  const clock = new ManualClock();
  let leases: MemoryLeases;
  let opened: AsyncDisposableStack;
  const open = () => opened.use(new LeaseMembership({ table: leases.end(), clock, log: silentLog }));
  beforeEach(() => {
    leases = new MemoryLeases();
    opened = new AsyncDisposableStack();
  });
  afterEach(() => opened.disposeAsync());

  /** Starts the look; answers how it ended within this time, undefined if it goes on. */
  async function look(ms: number): Promise<string | undefined> {
    let ended: string | undefined;
    void assertNoShardLives(open(), clock, never).then(
      () => {
        ended = "none lives";
      },
      (error) => {
        ended = isNebulaError(error) ? `${error.kind}: ${error.message}` : String(error);
      },
    );
    await clock.advance(ms);
    return ended;
  }

  async function joined(name: string): Promise<LeaseMembership> {
    const membership = open();
    await clock.advance(0);
    const joining = membership.join({ name, address: `${name}:1`, boot: `boot of ${name}` });
    await clock.advance(5000);
    await joining;
    return membership;
  }

  it("the look for shards ends when no lease rose for 10 s, and no sooner", async () => {
    assert.equal(await look(9000), undefined);
    assert.equal(await look(12_000), "none lives");
  });

  it("the lease of a shard that was killed counts for nothing", async () => {
    await (await joined("one"))[Symbol.asyncDispose]();
    assert.ok(leases.stored.has("one"));
    assert.equal(await look(12_000), "none lives");
  });

  it("shards that renew their leases are named", async () => {
    await joined("one");
    await joined("two");
    assert.equal(await look(12_000), "failed_precondition: shards run on this cluster (one, two): stop every manager, then run the command again");
  });

  it("leases that can't be read make the look unavailable", async () => {
    leases.isDown = true;
    assert.match((await look(12_000)) ?? "", /^unavailable: NEBULA_REDIS does not answer/);
  });

  it("a process that is always alone has no shards to look for", async () => {
    await assertNoShardLives(createMemoryMembership(), clock, never);
  });
});
