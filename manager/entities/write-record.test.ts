import { strict as assert } from "node:assert";
import fc from "fast-check";
import { systemClock } from "../../common/clock/system-clock.ts";
import { createMemoryFeed } from "../../common/feed/memory-feed.ts";
import { silentLog } from "../../common/log/log.ts";
import { openSqliteAccessStore } from "../../common/storage/sqlite/access/access-store.ts";
import { noSuch } from "../../common/text/no-such.ts";
import type { Changed } from "../audit/call-record.ts";
import { refusal } from "../testing/app-calls.ts";
import { callOf } from "../testing/entity-rig.ts";
import { RecordWriter, type StoredRecord } from "./write-record.ts";

type Fields = Readonly<{ passwordHash: string; tokenHash: string }>;
type Call = Readonly<{ what: "put" | "delete" | "keep"; ifRevision: bigint | undefined; shard: 0 | 1 }>;

const calls: fc.Arbitrary<Call[]> = fc.array(
  fc.record({
    what: fc.constantFrom<Call["what"][]>("put", "put", "delete", "keep"),
    ifRevision: fc.option(fc.bigInt({ min: 1n, max: 8n }), { nil: undefined, freq: 3 }),
    shard: fc.constantFrom<(0 | 1)[]>(0, 1),
  }),
  { minLength: 1, maxLength: 20 },
);

describe("writes of users and user_groups", () => {
  it("writes of records give each revision once and in steps of one, for calls at once on two shards", async () => {
    await fc.assert(
      fc.asyncProperty(calls, async (given) => {
        await using store = await openSqliteAccessStore({ path: ":memory:" });
        await using changeFeed = createMemoryFeed({ log: silentLog });
        const deps = { accessStore: store, changeFeed, clock: systemClock, log: silentLog };
        const records = {
          kind: "user" as const,
          get: (name: string) => store.getUser(name),
          write: (write: StoredRecord<Fields> & { expected: bigint }) => store.writeUser(write),
        };
        const shards = [new RecordWriter<Fields>(records, deps), new RecordWriter<Fields>(records, deps)] as const;
        const told: Changed[] = [];
        const context = callOf("root", { changed: (change) => void told.push(change) });

        const outcomes = await Promise.allSettled(
          given.map(({ what, ifRevision, shard }, index) =>
            shards[shard].write({ name: "ann", ifRevision }, context, (current) => {
              if (what === "put") return { kind: "write", fields: { passwordHash: `${index}`, tokenHash: "" }, detail: "put" };
              if (current === undefined) throw noSuch("user", "ann");
              return what === "keep" ? { kind: "keep" } : { kind: "delete", fields: { passwordHash: "", tokenHash: "" } };
            }),
          ),
        );

        const written = told
          .filter(({ detail }) => detail !== "nothing differs")
          .toSorted(({ revisionAfter: a = 0n }, { revisionAfter: b = 0n }) => Number(a - b));
        assert.deepEqual(
          written.map(({ revisionBefore, revisionAfter }) => [revisionBefore, revisionAfter]),
          written.map((_, index) => [BigInt(index), BigInt(index + 1)]),
        );
        assert.equal(told.length, outcomes.filter(({ status }) => status === "fulfilled").length);
        assert.equal((await store.getUser("ann"))?.revision ?? 0n, BigInt(written.length));
        for (const outcome of outcomes) {
          if (outcome.status === "rejected") assert.match(outcome.reason.kind, /^(not_found|conflict)$/);
        }
      }),
      { numRuns: 60 },
    );
  }).timeout(30_000);

  it("a write of a record is tried 8 times where others are always faster, with if_revision once", async () => {
    await using store = await openSqliteAccessStore({ path: ":memory:" });
    await using changeFeed = createMemoryFeed({ log: silentLog });
    let writes = 0;
    const users = new RecordWriter<Fields>(
      { kind: "user", get: (name) => store.getUser(name), write: async () => ({ kind: "conflict", revision: BigInt(++writes) }) },
      { accessStore: store, changeFeed, clock: systemClock, log: silentLog },
    );
    const put = (ifRevision?: bigint) =>
      users.write({ name: "ann", ifRevision }, callOf("root"), () => ({ kind: "write", fields: { passwordHash: "", tokenHash: "" }, detail: "put" }));
    await assert.rejects(put(), refusal("conflict", /^user ann was changed by others 8 times meanwhile \(now revision 8\): try again/));
    await assert.rejects(put(5n), refusal("conflict", /^user ann is at revision 9, not at 5/));
    assert.equal(writes, 9);
  });
});
