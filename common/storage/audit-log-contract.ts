import { strict as assert } from "node:assert";
import { create, equals } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { type AuditEntry, AuditEntrySchema } from "../../gen/nebula/v1/audit_pb.ts";
import { readAll } from "../testing/read-all.ts";
import type { AccessStore, AuditFilter } from "./access-store.ts";
import { NOW_MS } from "./access-store-samples.ts";

type Sample = Pick<AuditEntry, "who" | "kind" | "name" | "outcome"> & { after: number };

const sample: fc.Arbitrary<Sample> = fc.record({
  who: fc.constantFrom("ann", "bob", "device/d1"),
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
    who: fc.constantFrom("ann", "eve"),
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

/** What every AccessStore promises of its audit log. */
export function describeAuditLog(storeOf: () => AccessStore): void {
  describe("audit log", () => {
    const all = (store: AccessStore, filter: AuditFilter = {}, limit = 7) => readAll((page) => store.listAudit(filter, page), limit);

    it("reads back what was appended, in every part, under an id of its own", async () => {
      const store = storeOf();
      const entry = create(AuditEntrySchema, {
        at: timestampFromMs(NOW_MS),
        who: "ann",
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
      const [read, ...more] = await all(store);
      assert.ok(read !== undefined && more.length === 0);
      assert.notEqual(read.id, "");
      read.id = "";
      assert.ok(equals(AuditEntrySchema, read, entry));
    });

    it("takes no entries as well", async () => {
      await storeOf().appendAudit([]);
      assert.deepEqual(await all(storeOf()), []);
    });

    it("lists what a filter names, newest first, in the order of ids, page by page, each once", async () => {
      const store = storeOf();
      const samples = fc.sample(sample, { numRuns: 120, seed: 1 });
      const entries = samples.map((one, i) => entryOf(one, String(i)));
      for (let i = 0; i < entries.length; i += 10) await store.appendAudit(entries.slice(i, i + 10));
      // newest first; of one millisecond, the one that was appended last
      const expected = entries.toReversed().sort((a, b) => atOf(b) - atOf(a));
      await fc.assert(
        fc.asyncProperty(anyFilter, fc.integer({ min: 1, max: 40 }), async (filter, limit) => {
          const listed = await all(store, filter, limit);
          assert.deepEqual(
            listed.map(({ requestId }) => requestId),
            expected.filter((entry) => matches(entry, filter)).map(({ requestId }) => requestId),
          );
          const ids = listed.map(({ id }) => id);
          assert.deepEqual(ids, [...new Set(ids)].sort().reverse());
        }),
        { numRuns: 100 },
      );
    });

    it("removes what is older than a time, in bounded steps, and nothing else", async () => {
      const store = storeOf();
      const entries = Array.from({ length: 1200 }, (_, i) => entryOf({ who: "ann", kind: "", name: "", outcome: "OK", after: i }, String(i)));
      await store.appendAudit(entries);
      let removed = 0;
      for (let step: number | undefined; step !== 0; ) {
        step = await store.expireAudit(NOW_MS + 1100);
        removed += step;
      }
      const kept = await all(store, {}, 1000);
      if (removed > 0) assert.equal(removed, 1100); // a store with a TTL of its own removes nothing here
      assert.equal(kept.length, 1200 - removed);
      const newest = kept[0]?.id ?? "";
      await store.appendAudit([entryOf({ who: "ann", kind: "", name: "", outcome: "OK", after: 1200 }, "later")]);
      assert.ok(((await all(store, {}, 1000))[0]?.id ?? "") > newest);
    });
  });
}
