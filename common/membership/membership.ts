/** One live shard. */
export type Member = Readonly<{
  /** Ranks the shard (NEBULA_SHARD); the same after a restart. No two live shards share it. */
  name: string;
  /** The address that workers dial, host:port. */
  address: string;
  /** A random id of this start of the process. */
  boot: string;
  /**
   * The shard had no good read of its store for a while: it owns nothing while another member is well. Absent: it is
   * well.
   */
  impaired?: true;
}>;

/**
 * The lifetime of a lease, milliseconds: a member whose lease was not renewed for this time is dropped. Defined here
 * only.
 */
export const LEASE_MS = 10_000;

/** The interval at which a member renews its lease, and reads those of the others, milliseconds. */
export const RENEW_MS = 3000;

/**
 * The live shards, by expiring leases. No correctness rests on it. While its backend is unreachable the members do not
 * change. A change of the others is shown at once, the next one LEASE_MS later at the earliest; members that
 * left are dropped at once.
 */
export interface Membership extends AsyncDisposable {
  /** Whether no other process can ever be a member: then an address that only this machine can dial is sufficient. */
  readonly alone: boolean;
  /** This shard, once it has joined; undefined before that and after `leave`. */
  readonly self: Member | undefined;
  /**
   * Whether the backend answered when it was last asked. A shard whose membership is unreachable serves every watch
   * until it has joined.
   */
  readonly reachable: boolean;
  /**
   * Aborted, with a NebulaError `failed_precondition`, if another live shard is found to have the name of this one after
   * `join` resolved: this process must end.
   */
  readonly lost: AbortSignal;
  /** The live shards, sorted by name; this one only while it has joined. */
  members(): readonly Member[];
  /**
   * Makes this process a member: a manager calls it once, after it listens. Rejects with `failed_precondition` where
   * another live shard has the name. Where the backend is unreachable it resolves without a lease, which is taken when
   * the backend answers.
   */
  join(self: Member): Promise<void>;
  /**
   * Gives the lease back, so that the others need not wait for its end; does nothing if this shard has not joined. Never
   * rejects, and resolves within a second, also where the backend does not answer.
   */
  leave(): Promise<void>;
  /**
   * Announces whether this member is impaired, with its next renewal at the latest; does nothing if it has not joined,
   * or if nothing changes.
   */
  setImpaired(impaired: boolean): void;
  /** Called after the members changed, or one of them became impaired or well. */
  onChange(listener: (members: readonly Member[]) => void): Disposable;
  /** Ends the renewals and the subscriptions; the lease is not given back. */
  [Symbol.asyncDispose](): Promise<void>;
}
