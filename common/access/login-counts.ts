/** The failed logins of one key, counted by all shards together. */
export type SharedCount = Readonly<{
  failures: number;
  /** How long ago the last one was, milliseconds. */
  agoMs: number;
}>;

/**
 * Failed logins that the shards count together, by keys such as "password 10.0.0.1": N shards then do not allow N times
 * the guesses. A hint: nothing here rejects, and a shard that gets no answer counts alone.
 */
export interface LoginCounts extends AsyncDisposable {
  /**
   * The counts of the keys, in their order; undefined without an answer within 100 ms, and where no other shard counts.
   */
  read(keys: readonly string[]): Promise<readonly SharedCount[] | undefined>;
  /** Counts a failure of each key without a wait. Failures expire 10 minutes after the last one. */
  add(keys: readonly string[]): void;
  /** Forgets the failures of a key. */
  clear(key: string): void;
}

/** The counts of a single shard, which shares none. */
export function createMemoryLoginCounts(): LoginCounts {
  return { read: async () => undefined, add() {}, clear() {}, async [Symbol.asyncDispose]() {} };
}
