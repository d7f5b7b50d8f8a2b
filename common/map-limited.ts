/** Maps with at most `limit` calls at a time; the results are in the order of the items. Rejects with the first failure. */
export async function mapLimited<T, R>(items: readonly T[], limit: number, map: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const entries = items.entries();
  const work = async () => {
    for (const [index, item] of entries) results[index] = await map(item);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, work));
  return results;
}

/** Works on what comes, at most `limit` items at a time. Rejects with the first failure, and takes no more items after it. */
export async function eachLimited<T>(items: AsyncIterable<T>, limit: number, work: (item: T) => Promise<void>): Promise<void> {
  const iterator = items[Symbol.asyncIterator]();
  const shared = { [Symbol.asyncIterator]: () => ({ next: () => iterator.next() }) }; // a worker that ends leaves the others their items
  const worker = async () => {
    for await (const item of shared) await work(item);
  };
  try {
    await Promise.all(Array.from({ length: limit }, worker));
  } finally {
    await iterator.return?.();
  }
}
