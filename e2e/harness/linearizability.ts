/**
 * Whether what clients saw of one entity is linearizable: whether each call can be given one moment between its begin and its end, so that the calls in the
 * order of those moments are what a single register with compare-and-set answers. Where the order of the writes is known, as revisions give it, this takes
 * O(n log n) (P. Gibbons and E. Korach, Testing shared memories, SIAM Journal on Computing 26, 1997, section 4).
 *
 * 1. The history has each revision once, and each writer at most once; revisions are given in a row.
 * 2. An acknowledged write is in the history, at its revision, directly above the revision that it expected. A refused one is not.
 * 3. A write without an answer counts as one that began and never ended where the history has its writer, and as none where it has not.
 * 4. A call is at the revision that it wrote or read. No call is below one that ended before it began; a write is above all of those.
 * 5. A read's write began before the read ended.
 * 6. A refusal is at some revision above the expected one: at the lowest that 4 allows, which leaves the most room for all others.
 */
export type Operation = Readonly<{ client: string; begin: number; end: number }> &
  Readonly<
    | { kind: "read"; revision: bigint; writer: string }
    | { kind: "written"; writer: string; expected: bigint; revision: bigint }
    | { kind: "refused"; writer: string; expected: bigint }
    | { kind: "unknown"; writer: string; expected: bigint }
  >;

/** A row of the store's history. */
export type Row = Readonly<{ revision: bigint; writer: string }>;

type Placed = Readonly<{ operation: Operation; revision: bigint; writes: boolean }>;

/**
 * Says each way in which the calls contradict the history or each other; nothing where all is well.
 * @param history all rows of the entity, in any order; the lowest one was there before the first call
 * @param operations calls with times of one monotonic clock, in any order; no two writes have one writer
 */
export function violationsOf(history: readonly Row[], operations: readonly Operation[]): string[] {
  const rows = history.toSorted((a, b) => compare(a.revision, b.revision));
  const first = rows[0];
  if (first === undefined) return ["the history is empty"];
  const revisionOf = new Map(rows.map(({ revision, writer }) => [writer, revision]));
  const writerOf = new Map(rows.map(({ revision, writer }) => [revision, writer]));
  const writes = new Map(operations.flatMap((operation) => (operation.kind === "read" ? [] : [[operation.writer, operation] as const])));
  return [
    ...flawsOfHistory(rows, writes),
    ...operations.flatMap((operation) => contradictions(operation, revisionOf, writerOf)),
    ...flawsOfOrder(operations, rows, revisionOf, writes),
  ];
}

/** 1. */
function flawsOfHistory(rows: readonly Row[], writes: ReadonlyMap<string, Operation>): string[] {
  const writers = new Set<string>();
  return rows.flatMap(({ revision, writer }, i) => {
    const flaws: string[] = [];
    const before = rows[i - 1]?.revision;
    if (before === revision) flaws.push(`doubled: the history has revision ${revision} twice, the second time by ${writer}`);
    else if (before !== undefined && revision !== before + 1n) flaws.push(`gap: revision ${revision} by ${writer} follows ${before}`);
    if (writers.has(writer)) flaws.push(`repeated: ${writer} wrote again at revision ${revision}`);
    if (i > 0 && !writes.has(writer)) flaws.push(`invented: revision ${revision} is by ${writer}, whom no client sent`);
    writers.add(writer);
    return flaws;
  });
}

/** 2, and whether a read saw what the history has. */
function contradictions(operation: Operation, revisionOf: ReadonlyMap<string, bigint>, writerOf: ReadonlyMap<bigint, string>): string[] {
  const found = revisionOf.get(operation.writer);
  switch (operation.kind) {
    case "written":
      if (found === undefined) return [`lost: ${said(operation)}, and the history has no such writer`];
      if (found !== operation.revision) return [`moved: ${said(operation)}, and the history has it at ${found}`];
      return found === operation.expected + 1n ? [] : [`unconditional: ${said(operation)}, which expected ${operation.expected}`];
    case "refused":
      return found === undefined ? [] : [`late: ${said(operation)}, and the history has it at ${found}`];
    case "unknown":
      if (found === undefined || found === operation.expected + 1n) return [];
      return [`unconditional: ${said(operation)} expected ${operation.expected}, and the history has it at ${found}`];
    case "read": {
      const writer = writerOf.get(operation.revision);
      return writer === operation.writer ? [] : [`torn: ${said(operation)}, and the history has ${writer ?? "nobody"} there`];
    }
  }
}

/** 3 to 6. */
function flawsOfOrder(
  operations: readonly Operation[],
  rows: readonly Row[],
  revisionOf: ReadonlyMap<string, bigint>,
  writes: ReadonlyMap<string, Operation>,
): string[] {
  const last = rows.at(-1)?.revision ?? 0n;
  const beginOf = new Map(rows.slice(1).map(({ revision, writer }) => [revision, writes.get(writer)?.begin ?? Number.NEGATIVE_INFINITY]));
  const flaws: string[] = [];
  const placedOf = new Map<Operation, Placed>();
  const byEnd = operations.filter(({ kind }) => kind !== "unknown").toSorted((a, b) => a.end - b.end);
  let ended = 0;
  let floor: Placed | undefined; // the highest of the calls that ended before this one began
  for (const operation of operations.toSorted((a, b) => a.begin - b.begin)) {
    for (let next = byEnd[ended]; next !== undefined && next.end < operation.begin; next = byEnd[++ended]) {
      const placed = placedOf.get(next); // it is there: it began before this one
      if (placed !== undefined && (floor === undefined || placed.revision > floor.revision)) floor = placed;
    }
    const placed = place(operation, floor?.revision ?? 0n, revisionOf);
    if (placed === undefined) continue;
    placedOf.set(operation, placed);
    const { revision, writes: isWrite } = placed;
    if (floor !== undefined && (isWrite ? revision <= floor.revision : revision < floor.revision))
      flaws.push(`${isWrite ? "late" : "stale"}: ${said(operation)} is at ${revision}, after ${said(floor.operation)} at ${floor.revision}`);
    if (operation.kind === "refused" && revision > last) flaws.push(`refused for nothing: ${said(operation)}, and ${last} is the last revision`);
    else if (!isWrite && (beginOf.get(revision) ?? Number.NEGATIVE_INFINITY) > operation.end)
      flaws.push(`too early: ${said(operation)} is at ${revision}, whose write began after its end`);
  }
  return flaws;
}

function place(operation: Operation, floor: bigint, revisionOf: ReadonlyMap<string, bigint>): Placed | undefined {
  switch (operation.kind) {
    case "read":
      return { operation, revision: operation.revision, writes: false };
    case "written":
      return { operation, revision: operation.revision, writes: true };
    case "refused":
      return { operation, revision: floor > operation.expected ? floor : operation.expected + 1n, writes: false };
    case "unknown": {
      const revision = revisionOf.get(operation.writer);
      return revision === undefined ? undefined : { operation, revision, writes: true };
    }
  }
}

function said(operation: Operation): string {
  const { kind, client, writer, begin, end } = operation;
  const times = `[${begin.toFixed(1)}, ${end.toFixed(1)}]`;
  if (kind === "read") return `${client} read ${operation.revision} by ${writer} in ${times}`;
  if (kind === "written") return `${client} wrote ${operation.revision} as ${writer} in ${times}`;
  return `${client}'s write as ${writer} in ${times} was ${kind}`;
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
