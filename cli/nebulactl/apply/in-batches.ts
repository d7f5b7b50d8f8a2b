/** Results in the order of the items, at most `size` calls under way. The first failure ends it. */
export async function inBatches<T, R>(items: readonly T[], size: number, call: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += size) results.push(...(await Promise.all(items.slice(at, at + size).map(call))));
  return results;
}
