import { strict as assert } from "node:assert";
import { create, equals } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { type AuditEntry, AuditEntrySchema } from "../../../gen/nebula/v1/audit_pb.ts";
import { readAll } from "../../testing/read-all.ts";
import type { AccessStore, AuditFilter } from "../access-store.ts";
import type { ContractEffort } from "./access-invariants-contract.ts";
import { type FreshNames, freshNames, NOW_MS } from "./access-store-samples.ts";

/** The people of the samples, by the words for them. */
const [ANN, BOB, DEVICE, EVE] = ["ann", "bob", "device/d1", "eve"];

type Sample = Pick<AuditEntry, "who" | "kind" | "name" | "outcome"> & { after: number };

const sample: fc.Arbitrary<Sample> = fc.record({
  who: fc.constantFrom(ANN, BOB, DEVICE),
  kind: fc.constantFrom("app", "user", ""),
  name: fc.constantFrom("web", "db", ""),
  outcome: fc.constantFrom("OK", "PERMISSION_DENIED"),
  /** Milliseconds after NOW_MS: few, so that some share one. */
  after: fc.integer({ min: 0, max: 9 }),
});

function entryOf({ after, ...sampled }: Sample, requestId: string): AuditEntry {
  return create(AuditEntrySchema, { ...sampled, at: timestampFromMs(NOW_MS + after), from: "192.0.2.1", method: "/a/B", requestId });
}

const anyFilter = fc.record(
  {
    who: fc.constantFrom(ANN, BOB, DEVICE, EVE),
    kind: fc.constantFrom("app", "user"),
    name: fc.constantFrom("web", "db"),
    outcome: fc.constantFrom("OK", "PERMISSION_DENIED"),
    fromMs: fc.integer({ min: NOW_MS - 1, max: NOW_MS + 10 }),
    untilMs: fc.integer({ min: NOW_MS - 1, max: NOW_MS + 11 }),
  },
  { requiredKeys: [] },
);

function atOf(entry: AuditEntry): number {
  return entry.at === undefined ? 0 : timestampMs(entry.at);
}

function matches(entry: AuditEntry, { who, kind, name, outcome, fromMs, untilMs }: AuditFilter): boolean {
  const equal = (wanted: string | undefined, value: string) => wanted === undefined || wanted === value;
  return (
    equal(who, entry.who) &&
    equal(kind, entry.kind) &&
    equal(name, entry.name) &&
    equal(outcome, entry.outcome) &&
    atOf(entry) >= (fromMs ?? 0) &&
    atOf(entry) < (untilMs ?? Number.MAX_SAFE_INTEGER)
  );
}

/** The contract of AuditLog. */
export function describeAuditLog(storeOf: () => AccessStore, { runs }: ContractEffort): void {
  describe("audit log", () => {
    /** Only the entries of the test at hand: their people have names of their own. */
    const own = async (n: FreshNames, filter: AuditFilter = {}, limit = 1000) => {
      const all = await readAll((page) => storeOf().listAudit(filter, page), limit);
      return all.filter(({ who }) => n.isOwn(who));
    };

    it("an audit entry is read back as appended, in every part, under an id of its own", async () => {
      const store = storeOf();
      const n = freshNames();
      const entry = create(AuditEntrySchema, {
        at: timestampFromMs(NOW_MS),
        who: n("ann"),
        from: "192.0.2.1",
        method: "/nebula.v1.AppService/UpdateApp",
        kind: "app",
        name: "web",
        revisionBefore: 2n,
        revisionAfter: 3n,
        outcome: "OK",
        detail: "update",
        requestId: "r1",
        repeats: 4,
      });
      await store.appendAudit([entry]);
      const [read, ...more] = await own(n);
      assert.ok(read !== undefined && more.length === 0);
      assert.notEqual(read.id, "");
      read.id = "";
      assert.ok(equals(AuditEntrySchema, read, entry));
    });

    it("the audit log accepts an empty list of entries", async () => {
      await storeOf().appendAudit([]);
      assert.deepEqual(await own(freshNames()), []);
    });

    it("the audit log lists the entries of a filter, newest first, in the order of ids, page by page, each once", async () => {
      const store = storeOf();
      const n = freshNames();
      const samples = fc.sample(sample, { numRuns: 120, seed: 1 });
      const entries = samples.map((one, i) => entryOf({ ...one, who: n(one.who) }, String(i)));
      for (let i = 0; i < entries.length; i += 10) await store.appendAudit(entries.slice(i, i + 10));
      // newest first; of one millisecond, the one that was appended last
      const expected = entries.toReversed().sort((a, b) => atOf(b) - atOf(a));
      await fc.assert(
        fc.asyncProperty(anyFilter, fc.integer({ min: 3, max: 40 }), async ({ who, ...more }, limit) => {
          const filter = { ...more, ...(who === undefined ? {} : { who: n(who) }) };
          const listed = await own(n, filter, limit);
          assert.deepEqual(
            listed.map(({ requestId }) => requestId),
            expected.filter((entry) => matches(entry, filter)).map(({ requestId }) => requestId),
          );
          const ids = listed.map(({ id }) => id);
          assert.deepEqual(ids, [...new Set(ids)].sort().reverse());
        }),
        { numRuns: runs },
      );
    }).timeout(60_000);

    it("the audit log removes entries that are older than a time, in bounded steps, and nothing else", async () => {
      const store = storeOf();
      const n = freshNames();
      const sampled = { who: n("ann"), kind: "", name: "", outcome: "OK" };
      await store.appendAudit(Array.from({ length: 1200 }, (_, i) => entryOf({ ...sampled, after: i }, String(i))));
      let removed = 0;
      for (let step: number | undefined; step !== 0; ) {
        step = await store.expireAudit(NOW_MS + 1100);
        removed += step;
      }
      const kept = await own(n);
      assert.equal(kept.length, removed > 0 ? 100 : 1200); // a store with a TTL of its own removes nothing here
      const newest = kept[0]?.id ?? "";
      await store.appendAudit([entryOf({ ...sampled, after: 1200 }, "later")]);
      assert.ok(((await own(n))[0]?.id ?? "") > newest);
    }).timeout(30_000);
  });
}
