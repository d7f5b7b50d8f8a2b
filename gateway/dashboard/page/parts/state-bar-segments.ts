/** A part of a bar. */
export type Segment = Readonly<{ state: string; count: bigint }>;

/** The place of a segment, percent of the length of the bar. */
export type Placed = Segment & Readonly<{ from: number; length: number }>;

/** The shortest segment that is seen, percent. */
const SHORTEST = 1.2;

/** Places the segments that count something: in proportion, but none so short that it is not seen. Together they fill the bar. */
export function placeSegments(segments: readonly Segment[]): readonly Placed[] {
  const counted = segments.filter(({ count }) => count > 0n);
  const whole = counted.reduce((sum, { count }) => sum + count, 0n);
  const shares = counted.map(({ count }) => (Number(count) / Number(whole)) * 100);
  const lengthened = shares.filter((share) => share < SHORTEST).length;
  const long = shares.filter((share) => share >= SHORTEST).reduce((sum, share) => sum + share, 0);
  const left = 100 - lengthened * SHORTEST;
  let from = 0;
  return counted.map((segment, index) => {
    const share = shares[index] ?? 0;
    const length = share < SHORTEST ? SHORTEST : (share / long) * left;
    const placed = { ...segment, from, length };
    from += length;
    return placed;
  });
}
