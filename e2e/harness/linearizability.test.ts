import { strict as assert } from "node:assert";
import fc from "fast-check";
import { type Operation, type Row, violationsOf } from "./linearizability.ts";

type Seen = Readonly<{ history: readonly Row[]; operations: readonly Operation[] }>;

/** The answers of a correct register to some clients; every call takes effect at one moment between its begin and its end. */
const correct: fc.Arbitrary<Seen> = fc
  .array(
    fc.record({
      client: fc.nat(7),
      at: fc.integer({ min: 100, max: 10_000 }),
      before: fc.nat(90),
      after: fc.nat(2000),
      kind: fc.constantFrom("read", "write", "stale write", "unknown", "never sent"),
    }),
    { maxLength: 40 },
  )
  .map((calls) => {
    const history: Row[] = [{ revision: 1n, writer: "first" }];
    const operations = calls
      .toSorted((a, b) => a.at - b.at)
      .map(({ client, at, before, after, kind }, i): Operation => {
        const now = history.at(-1) ?? assert.fail();
        const times = { client: `client ${client}`, begin: at - before, end: at + after };
        const writer = `w${i}`;
        if (kind === "read") return { ...times, kind: "read", ...now };
        if (kind === "never sent") return { ...times, kind: "unknown", writer, expected: now.revision };
        if (kind === "stale write" && now.revision > 1n) return { ...times, kind: "refused", writer, expected: now.revision - 1n };
        const revision = now.revision + 1n;
        history.push({ revision, writer });
        if (kind === "unknown") return { ...times, end: times.begin, kind: "unknown", writer, expected: now.revision };
        return { ...times, kind: "written", writer, expected: now.revision, revision };
      });
    return { history, operations };
  });

/** A few calls of any kind, right or wrong. */
const anything: fc.Arbitrary<Seen> = fc
  .record({
    writes: fc.array(fc.record({ begin: fc.nat(8), takes: fc.nat(8), unknown: fc.boolean() }), { maxLength: 3 }),
    others: fc.array(fc.record({ begin: fc.nat(8), takes: fc.nat(8), at: fc.nat(3), refused: fc.boolean() }), { maxLength: 3 }),
  })
  .map(({ writes, others }) => {
    const history: Row[] = [{ revision: 1n, writer: "first" }, ...writes.map((_, i) => ({ revision: BigInt(i + 2), writer: `w${i}` }))];
    const operations = [
      ...writes.map(({ begin, takes, unknown }, i): Operation => {
        const call = { client: "a", begin, end: begin + takes, writer: `w${i}`, expected: BigInt(i + 1) };
        return unknown ? { ...call, kind: "unknown" } : { ...call, kind: "written", revision: BigInt(i + 2) };
      }),
      ...others.map(({ begin, takes, at, refused }, i): Operation => {
        const row = history[at % history.length] ?? assert.fail();
        const call = { client: "b", begin, end: begin + takes };
        return refused ? { ...call, kind: "refused", writer: `r${i}`, expected: row.revision } : { ...call, kind: "read", ...row };
      }),
    ];
    return { history, operations };
  });

describe("linearizability of what clients saw", () => {
  it("the check accepts all answers of a correct register", () => {
    fc.assert(
      fc.property(correct, ({ history, operations }) => assert.deepEqual(violationsOf(history, operations), [])),
      { numRuns: 500 },
    );
  });

  it("the check agrees with a search through all orders", () => {
    let [good, bad] = [0, 0];
    fc.assert(
      fc.property(anything, ({ history, operations }) => {
        const found = violationsOf(history, operations);
        assert.equal(found.length === 0, hasOrder(operations, 1n), found.join("\n"));
        if (found.length === 0) good++;
        else bad++;
      }),
      { numRuns: 3000 },
    );
    assert.ok(good > 200 && bad > 200, `${good} good and ${bad} bad ones`);
  });

  // Each takes a correct history that has what it needs, and breaks it in one way.
  it("the check finds a lost write: acknowledged, and not in the history", () => {
    breaks(({ history, operations }) => {
      const write = operations.findLast(({ kind }) => kind === "written");
      if (write === undefined || write.writer !== history.at(-1)?.writer) return undefined;
      return { history: history.slice(0, -1), operations: operations.filter((each) => each === write || !sees(each, write.writer)) };
    }, /^lost: /);
  });

  it("the check finds a doubled revision in the history, and one that two clients were given", () => {
    breaks(({ history, operations }) => {
      const [twice] = history.slice(1);
      return twice && { history: [...history, { revision: twice.revision, writer: "another" }], operations };
    }, /^doubled: /);
    breaks(({ history, operations }) => {
      const [one, two] = operations.filter((each) => each.kind === "written");
      return one && two && { history, operations: operations.map((each) => (each === two ? { ...two, revision: one.revision } : each)) };
    }, /^moved: /);
  });

  it("the check finds a stale read: below a write that had been acknowledged before it began", () => {
    breaks(({ history, operations }) => {
      const write = operations.find((each) => each.kind === "written");
      if (write === undefined) return undefined;
      const read = { client: "late reader", kind: "read", begin: write.end + 1, end: write.end + 2, ...rowAt(history, write.revision - 1n) } as const;
      return { history, operations: [...operations, read] };
    }, /^stale: /);
  });

  it("the check finds a late write: one that took effect after it had been refused, or below what was written before it began", () => {
    breaks(({ history, operations }) => {
      const write = operations.find((each) => each.kind === "written");
      return write && { history, operations: operations.map((each) => (each === write ? { ...write, kind: "refused" } : each)) };
    }, /^late: .* was refused, and the history has it/);
    breaks(({ history, operations }) => {
      const [one, two] = operations.filter((each) => each.kind === "written");
      if (one === undefined || two === undefined) return undefined;
      const moved = { begin: two.end + 1, end: two.end + 2 };
      return { history, operations: operations.map((each) => (each === one ? { ...one, ...moved } : each)) };
    }, /^late: .* after /);
  });

  it("the check finds a read before its write began, a read of a value that was never written, and a refusal without a newer revision", () => {
    breaks(({ history, operations }) => {
      const write = operations.find((each) => each.kind === "written");
      return write && { history, operations: [...operations, { client: "seer", kind: "read", begin: 0, end: 1, ...rowAt(history, write.revision) }] };
    }, /^too early: /);
    breaks(
      ({ history, operations }) => ({
        history,
        operations: [
          ...operations,
          { client: "dreamer", kind: "read", begin: 20_000, end: 20_001, revision: history.at(-1)?.revision ?? 0n, writer: "x" },
        ],
      }),
      /^torn: /,
    );
    breaks(
      ({ history, operations }) => ({
        history,
        operations: [
          ...operations,
          { client: "c", kind: "refused", begin: 20_000, end: 20_001, writer: "x", expected: history.at(-1)?.revision ?? 0n },
        ],
      }),
      /^refused for nothing: /,
    );
  });

  it("the check finds a write that was applied twice, one that no client sent, and a gap", () => {
    breaks(({ history, operations }) => {
      const last = history.at(-1) ?? assert.fail();
      return history.length < 2 ? undefined : { history: [...history, { ...last, revision: last.revision + 1n }], operations };
    }, /^repeated: /);
    breaks(
      ({ history, operations }) => ({ history: [...history, { revision: BigInt(history.length + 1), writer: "x" }], operations }),
      /^invented: /,
    );
    breaks(({ history, operations }) => {
      const last = history.at(-1) ?? assert.fail();
      return { history: [...history, { revision: last.revision + 2n, writer: "x" }], operations };
    }, /^gap: /);
  });

  it("the check settles an unknown write from the history: applied at any time after its begin, or never", () => {
    const history = [
      { revision: 1n, writer: "first" },
      { revision: 2n, writer: "b" },
      { revision: 3n, writer: "a" },
    ];
    const unknown: Operation = { client: "one", kind: "unknown", begin: 0, end: 1, writer: "a", expected: 2n };
    const write: Operation = { client: "two", kind: "written", begin: 5, end: 6, writer: "b", expected: 1n, revision: 2n };
    assert.deepEqual(violationsOf(history, [unknown, write]), []);
    assert.deepEqual(violationsOf(history.slice(0, 2), [unknown, write]), []);
    const early: Operation = { client: "three", kind: "read", begin: 2, end: 3, revision: 3n, writer: "a" };
    assert.match(violationsOf(history, [unknown, write, early]).join("\n"), /^late: two wrote 2 as b in .* after three read 3/);
  });

  it("the check checks 100,000 calls within 10 seconds, where a search through pairs takes minutes", () => {
    const history: Row[] = [{ revision: 1n, writer: "first" }];
    const operations = Array.from({ length: 100_000 }, (_, i): Operation => {
      const expected = BigInt(i + 1);
      history.push({ revision: expected + 1n, writer: `w${i}` });
      return { client: "c", kind: "written", begin: i, end: i + 5, writer: `w${i}`, expected, revision: expected + 1n };
    });
    assert.deepEqual(violationsOf(history, operations), []);
  }).timeout(10_000);
});

/** Breaks seeded correct histories and expects the flaw to be found in each; at least 50 of them can be broken this way. */
function breaks(change: (seen: Seen) => Seen | undefined, expected: RegExp): void {
  let broken = 0;
  for (const seen of fc.sample(correct, { seed: 14, numRuns: 200 })) {
    const changed = change(seen);
    if (changed === undefined) continue;
    broken++;
    const found = violationsOf(changed.history, changed.operations);
    assert.ok(
      found.some((each) => expected.test(each)),
      `nothing like ${expected} in ${JSON.stringify(found)}`,
    );
  }
  assert.ok(broken >= 50, `${broken} histories were broken`);
}

function sees(operation: Operation, writer: string): boolean {
  return operation.kind === "read" && operation.writer === writer;
}

function rowAt(history: readonly Row[], revision: bigint): Row {
  return history.find((row) => row.revision === revision) ?? assert.fail(`no revision ${revision}`);
}

/** Whether the calls, in some order that respects their times, are those of a register that is at this revision; every unknown write is taken as applied. */
function hasOrder(operations: readonly Operation[], state: bigint): boolean {
  if (operations.length === 0) return true;
  return operations.some((first) => {
    const rest = operations.filter((each) => each !== first);
    if (rest.some((each) => each.kind !== "unknown" && each.end < first.begin)) return false;
    switch (first.kind) {
      case "read":
        return first.revision === state && hasOrder(rest, state);
      case "refused":
        return first.expected < state && hasOrder(rest, state);
      default:
        return first.expected === state && hasOrder(rest, state + 1n);
    }
  });
}
