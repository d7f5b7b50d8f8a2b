import fc from "fast-check";
import { SAMPLE_TIME_MS, sampleReport } from "../../common/testing/sample-report.ts";
import type { Report } from "../../gen/nebula/v1/report_pb.ts";

/** One report of a log: by which of two shards it was taken, in which group, and the places further on at which it stands again. */
export type Sent = Readonly<{ report: Report; repeats: readonly number[] }>;

/** Shard B's clock is 10 s ahead of shard A's. */
const SKEW_MS = 10_000;

/**
 * Two starts of each worker: each sends its reports in order, one in flight; the last one of the first start may reach the log when the second has begun. The
 * device may move to another group at any time.
 */
export function sentByDevice(deviceId: string): fc.Arbitrary<Sent[]> {
  const choice = fc.record({
    skewed: fc.boolean(),
    deviceGroup: fc.constantFrom("shops", "offices"),
    repeats: fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 2 }),
  });
  return fc
    .record({
      first: fc.integer({ min: 1, max: 6 }),
      second: fc.integer({ min: 1, max: 6 }),
      lastIsLate: fc.boolean(),
      choices: fc.infiniteStream(choice),
    })
    .map(({ first, second, lastIsLate, choices }) => {
      const [beginning, ...rest] = count("second", second);
      const before = count("first", first);
      const delayed = lastIsLate && first > 1 ? before.splice(-1) : [];
      return [...before, ...(beginning === undefined ? [] : [beginning]), ...delayed, ...rest].map(({ boot, seq }, index) => {
        const { skewed, deviceGroup, repeats } = choices.next().value;
        const receivedMs = SAMPLE_TIME_MS + index * 1000 + (skewed ? SKEW_MS : 0);
        return { report: sampleReport({ deviceId, deviceGroup, boot, seq, receivedMs }), repeats };
      });
    });
}

function count(boot: string, reports: number): { boot: string; seq: bigint }[] {
  return Array.from({ length: reports }, (_, index) => ({ boot, seq: BigInt(index + 1) }));
}

/** The log that those reports make. A repeat was submitted again, so another shard may have taken it, at another time; it never stands before the report itself. */
export function logOf(devices: readonly (readonly Sent[])[]): Report[] {
  const entries = devices.flatMap((sent) =>
    sent.flatMap(({ report, repeats }, index) => [
      { at: index, again: 0, report },
      ...repeats.map((later) => ({
        at: index + later + 0.5,
        again: 1,
        report: sampleReport({
          deviceId: report.deviceId,
          deviceGroup: report.deviceGroup,
          boot: report.boot,
          seq: report.seq,
          receivedMs: SAMPLE_TIME_MS + index * 1000 + (later % 2) * SKEW_MS + later * 700,
        }),
      })),
    ]),
  );
  return entries.toSorted((a, b) => a.at - b.at || a.again - b.again).map((entry) => entry.report);
}
