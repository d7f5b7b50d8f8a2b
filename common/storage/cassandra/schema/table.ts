/** A table of the schema, with what docs/design/stores.md says of it. */
export type Table = Readonly<{
  name: string;
  /** Columns and primary key, as in CREATE TABLE. */
  columns: string;
  /** The options after WITH: the clustering order, the compaction; empty: nothing. */
  options: string;
  /** Partition key, then clustering columns, in words. */
  partition: string;
  /** The largest partition at 1,000,000 devices, 10,000 device_groups and 1,000 apps. */
  largest: string;
  /** The queries that it is made for. */
  serves: string;
}>;
