/** One live shard. */
export type Member = Readonly<{
  /** Ranks the shard (NEBULA_SHARD); the same after a restart. No two live shards share it. */
  name: string;
  /** Where workers dial it, host:port. */
  address: string;
  /** A random id of this start of the process. */
  boot: string;
}>;

/** How long a lease lives, milliseconds: a member whose lease was not renewed for that long is dropped. The one definition of it. */
export const LEASE_MS = 10_000;

/** Which shards live, by expiring leases. No correctness rests on it. */
export interface Membership extends AsyncDisposable {
  /** Whether no other process can ever be a member: an address that only this machine can dial is good enough then. */
  readonly alone: boolean;
  /** This shard, once it has joined; undefined before that and after `leave`. */
  readonly self: Member | undefined;
  /** The live shards, sorted by name; this one only while it has joined. */
  members(): readonly Member[];
  /**
   * Makes this process a member: a manager calls it once, after it listens. Rejects with `failed_precondition` where another live shard has the name.
   * An absent backend does not make it reject: the lease is taken when the backend answers.
   */
  join(self: Member): Promise<void>;
  /** Gives the lease back, so that the others need not wait for its end; does nothing where it has not joined. */
  leave(): Promise<void>;
  /** Called after the members changed. */
  onChange(listener: (members: readonly Member[]) => void): Disposable;
}
