import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { type AuditEntry, AuditEntrySchema } from "../../gen/nebula/v1/audit_pb.ts";
import { SEVERAL } from "./call-record.ts";
import { ADDRESSES, KINDS, KINDS_PER_ADDRESS, RefusalFold } from "./refusal-fold.ts";

type Fields = Pick<AuditEntry, "who" | "from" | "method" | "name" | "outcome" | "detail" | "requestId"> & { at: Timestamp };

function refusal(more: Partial<Fields> = {}): AuditEntry {
  return create(AuditEntrySchema, {
    at: timestampFromMs(1000),
    who: "ann",
    from: "192.0.2.1",
    method: "/nebula.v1.AppService/StopApp",
    kind: "app",
    name: "web",
    outcome: "PERMISSION_DENIED",
    detail: "may not",
    requestId: "r1",
    ...more,
  });
}

function stoodFor(entries: readonly AuditEntry[]): number {
  return entries.reduce((sum, { repeats }) => sum + Math.max(1, repeats), 0);
}

describe("refusals", () => {
  it("refusals are entries at once when they are the first of their kind, and counted when they are not", () => {
    const fold = new RefusalFold();
    const first = refusal();
    assert.equal(fold.add(first), first);
    for (let i = 2; i <= 5; i++) assert.equal(fold.add(refusal({ at: timestampFromMs(1000 * i), requestId: `r${i}` })), undefined);
    for (const other of [{ who: "bob" }, { from: "192.0.2.2" }, { method: "/other" }, { outcome: "NOT_FOUND" }]) {
      assert.equal(fold.add(refusal(other))?.repeats, 0);
    }
    const [counted, ...more] = fold.drain();
    assert.deepEqual(more, []);
    assert.deepEqual([counted?.repeats, counted?.requestId, counted?.name, counted?.detail], [4, "r5", "web", "may not"]);
    assert.equal(counted?.at === undefined ? 0 : timestampMs(counted.at), 5000);
    assert.equal(first.repeats, 0, "what was given out stays as it was");
    assert.ok(fold.empty);
    assert.equal(fold.add(refusal())?.repeats, 0, "a new minute");
  });

  it("refusals keep their subject where all have the same", () => {
    const fold = new RefusalFold();
    for (const name of ["web", "db", "web"]) fold.add(refusal({ name, detail: `may not ${name}` }));
    const [counted] = fold.drain();
    assert.deepEqual([counted?.repeats, counted?.kind, counted?.name, counted?.detail], [2, "app", "", ""]);
  });

  it("refusals of one address that come in many kinds leave room for those of others", () => {
    const fold = new RefusalFold();
    const given = Array.from({ length: 1000 }, (_, i) => fold.add(refusal({ from: "192.0.2.66", method: `/m${i}` }))).filter(
      (one) => one !== undefined,
    );
    assert.equal(given.length, KINDS_PER_ADDRESS);
    assert.notEqual(fold.add(refusal({ from: "192.0.2.7" })), undefined);
    const [beyond, ...more] = fold.drain();
    assert.deepEqual(more, []);
    assert.deepEqual([beyond?.who, beyond?.from, beyond?.repeats], [SEVERAL, "192.0.2.66", 1000 - KINDS_PER_ADDRESS]);
  });

  it("refusals leave a bounded number of entries, and each is counted once", () => {
    const outcome = fc.constantFrom("UNAUTHENTICATED", "RESOURCE_EXHAUSTED");
    const address = fc.integer({ min: 0, max: 1500 }).map((i) => `2001:db8::${i.toString(16)}`);
    const refusals = fc.array(fc.record({ from: address, outcome, method: fc.constantFrom("/a", "/b", "/c") }), { minLength: 500, maxLength: 4000 });
    fc.assert(
      fc.property(refusals, (all) => {
        const fold = new RefusalFold();
        const given = all.flatMap((one) => fold.add(refusal(one)) ?? []);
        const counted = fold.drain();
        assert.equal(stoodFor([...given, ...counted]), all.length);
        assert.ok(given.length <= KINDS);
        assert.ok(counted.length <= KINDS + ADDRESSES + 2, `${counted.length} entries`);
        for (const one of ["UNAUTHENTICATED", "RESOURCE_EXHAUSTED"])
          assert.equal(
            stoodFor([...given, ...counted].filter((entry) => entry.outcome === one)),
            all.filter((entry) => entry.outcome === one).length,
          );
      }),
      { numRuns: 20 },
    );
  });
});
