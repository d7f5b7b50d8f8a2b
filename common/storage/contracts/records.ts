/** The records that a test put into a store which others share. */
export async function collect<R>(records: AsyncIterable<R>, isOwn: (record: R) => boolean): Promise<R[]> {
  const found: R[] = [];
  for await (const record of records) if (isOwn(record)) found.push(record);
  return found;
}
