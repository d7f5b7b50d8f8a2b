/** Reads the next rows of a bucket in the order of their keys, at most `limit`: those after a key, or the first ones. */
export type ReadBucket<T> = (bucket: number, after: string | undefined, limit: number) => Promise<readonly T[]>;

type Bucket<T> = { readonly number: number; rows: readonly T[]; at: number; ended: boolean };

/**
 * The rows of all buckets in the order of their keys: each bucket is read in parts of `part` rows, all of them at once at first, then those that are used up.
 */
export async function* mergeBuckets<T>(buckets: number, part: number, read: ReadBucket<T>, keyOf: (row: T) => string): AsyncGenerator<T, void> {
  const fill = async (bucket: Bucket<T>) => {
    const last = bucket.rows.at(-1);
    bucket.rows = await read(bucket.number, last && keyOf(last), part);
    bucket.at = 0;
    bucket.ended = bucket.rows.length < part;
  };
  const all = Array.from({ length: buckets }, (_, number): Bucket<T> => ({ number, rows: [], at: 0, ended: false }));
  await Promise.all(all.map(fill));
  for (;;) {
    const used = all.filter((bucket) => bucket.at === bucket.rows.length && !bucket.ended);
    await Promise.all(used.map(fill));
    let smallest: Bucket<T> | undefined;
    let [key, next]: [string | undefined, T | undefined] = [undefined, undefined];
    for (const bucket of all) {
      const row = bucket.rows[bucket.at];
      if (row === undefined || (key !== undefined && keyOf(row) >= key)) continue;
      [smallest, key, next] = [bucket, keyOf(row), row];
    }
    if (smallest === undefined || next === undefined) return;
    smallest.at++;
    yield next;
  }
}

/** How many rows of a bucket are read at a time for a page of `limit`. */
export function partOf(limit: number, buckets: number): number {
  return Math.min(Math.max(Math.ceil((2 * limit) / buckets), 10), 500);
}
