/** One live shard. */
export type Member = Readonly<{
  /** Where workers dial it, host:port. */
  address: string;
  /** A random id of this start of the process. */
  boot: string;
}>;

/** Which shards live, by expiring leases. No correctness rests on it. */
export interface Membership extends AsyncDisposable {
  readonly self: Member;
  /** The live shards, this one included, sorted by address. */
  members(): readonly Member[];
  /** Called after the members changed. */
  onChange(listener: (members: readonly Member[]) => void): Disposable;
}
