/**
 * The membership of a process among others, by leases in a table that all of them read and write.
 *
 * M1 Only `join` waits for the table, until the claim of the name is settled, and `leave`, for LEAVE_MS.
 * M2 A shard joins after two good reads CLAIM_MS apart, with its own claim between them: a live holder of the name
 *    answers the claim by naming its boot.
 * M3 Of two live shards with one name one ends: a joining one before a member, else the one that joined later. Only a
 *    lease that names this very boot as its rival counts, and no copy of an earlier lease does that.
 * M4 A change of the other members is shown at once, and the next one LEASE_MS later at the earliest; a member that
 *    left is dropped at once.
 */
import type { Clock } from "../clock/clock.ts";
import { messageOf, NebulaError } from "../errors/nebula-error.ts";
import type { Log } from "../log/log.ts";
import { createHintMetrics, type HintMetrics } from "../metrics/hint-metrics.ts";
import { type Lease, type LeaseTable, SeenLeases } from "./lease.ts";
import { LEASE_MS, type Member, type Membership, RENEW_MS } from "./membership.ts";

/** Between the claim of a name and the read of the answers, milliseconds: longer than a holder takes to renew. */
const CLAIM_MS = 4000;
/** The most claims: a copy of an earlier lease, or a holder that did not see the first claim yet, may overwrite one. */
const CLAIMS = 2;
/** Between two tries while the table is unreachable, milliseconds. */
const RETRY_MS = 1000;
const LEAVE_MS = 1000;

export type LeaseMembershipOptions = Readonly<{ table: LeaseTable; clock: Clock; log: Log; metrics?: HintMetrics }>;

type Claim = {
  left: number;
  /** The claim is in the table, and the next good read answers it. */
  isAsked: boolean;
  /** The call of `join`, until it is answered. */
  waiting: Readonly<{ resolve: () => void; reject: (error: NebulaError) => void }> | undefined;
};

/** The lease that this shard holds, or claims. */
type Own = { member: Member; count: number; since: number; rival: string | undefined; claim: Claim | undefined };

/** Reads the leases, and once it has joined renews its own, until it is disposed. */
export class LeaseMembership implements Membership {
  readonly alone = false;
  readonly #options: LeaseMembershipOptions;
  readonly #metrics: HintMetrics;
  readonly #seen = new SeenLeases();
  readonly #life = new AbortController();
  readonly #lost = new AbortController();
  readonly #listeners = new Set<(members: readonly Member[]) => void>();
  readonly #running: Promise<void>;
  #own: Own | undefined;
  #others: readonly Member[] = [];
  #changedAt = Number.NEGATIVE_INFINITY;
  #reachable: boolean | undefined;
  #wake = new AbortController();

  constructor(options: LeaseMembershipOptions) {
    this.#options = options;
    this.#metrics = options.metrics ?? createHintMetrics();
    this.#running = this.#run();
  }

  get self(): Member | undefined {
    return this.#own?.claim === undefined ? this.#own?.member : undefined;
  }

  get reachable(): boolean {
    return this.#reachable === true;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  members(): readonly Member[] {
    const { self } = this;
    if (self === undefined) return this.#others;
    return [self, ...this.#others.filter(({ name }) => name !== self.name)].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  join(member: Member): Promise<void> {
    if (this.#own !== undefined) {
      return Promise.reject(new NebulaError("failed_precondition", `shard "${this.#own.member.name}" has joined already`));
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const claim = { left: CLAIMS, isAsked: false, waiting: { resolve, reject } };
    this.#own = { member, count: 0, since: this.#options.clock.now(), rival: undefined, claim };
    if (this.#reachable === false) this.#giveUpWaiting(); // M1
    this.#wake.abort();
    return promise;
  }

  async leave(): Promise<void> {
    const own = this.#own;
    if (own === undefined) return;
    this.#own = undefined;
    own.claim?.waiting?.resolve();
    this.#notify();
    const given = new AbortController();
    const written = own.count === 0 ? Promise.resolve() : this.#options.table.write({ ...leaseOf(own), count: own.count + 1, state: "left" });
    const late = this.#options.clock.sleep(LEAVE_MS, given.signal).catch(() => {});
    await Promise.race([
      written.catch((error: unknown) => this.#options.log.debug({ error: messageOf(error) }, "the lease was not given back")),
      late,
    ]); // M1
    given.abort();
  }

  setImpaired(impaired: boolean): void {
    const own = this.#own;
    if (own === undefined || own.claim !== undefined || (own.member.impaired ?? false) === impaired) return;
    const { name, address, boot } = own.member;
    own.member = impaired ? { name, address, boot, impaired } : { name, address, boot };
    this.#wake.abort();
    this.#notify();
  }

  onChange(listener: (members: readonly Member[]) => void): Disposable {
    const own: typeof listener = (now) => listener(now); // one subscription each, also of the same function
    this.#listeners.add(own);
    return { [Symbol.dispose]: () => void this.#listeners.delete(own) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#own?.claim?.waiting?.resolve();
    this.#own = undefined;
    this.#listeners.clear();
    this.#life.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#life;
    while (!signal.aborted) {
      this.#wake = new AbortController();
      const own = this.#own;
      const isGood = await this.#renew();
      if (own !== this.#own) continue; // asked to join meanwhile
      const ms = !isGood ? RETRY_MS : own?.claim === undefined ? RENEW_MS : CLAIM_MS; // M2
      await clock.sleep(ms, AbortSignal.any([signal, this.#wake.signal])).catch(() => {});
    }
  }

  /**
   * One round: reads the leases, settles who holds the name, renews, and removes leases that were not renewed for long.
   * Returns whether the table answered.
   */
  async #renew(): Promise<boolean> {
    const { table, clock } = this.#options;
    const own = this.#own;
    const leases = await this.#ask(() => table.read());
    if (leases === undefined) return false;
    const repeats = this.#seen.observe(leases, clock.monotonic());
    for (let repeat = 0; repeat < repeats; repeat++) this.#metrics.rejected("lease");
    if (this.#life.signal.aborted) return true;
    this.#showOthers();
    if (own === undefined || own !== this.#own) return true;
    this.#settleName(own, leases.get(own.member.name));
    if (own !== this.#own) return true;
    const lease = leaseOf(own, ++own.count);
    const removable = this.#seen.removable.filter((name) => name !== own.member.name);
    const done = await this.#ask(async () => {
      await table.write(lease);
      if (own.claim === undefined && removable.length > 0) await table.remove(removable);
      return true;
    });
    if (done === true && own.claim !== undefined) own.claim.isAsked = true;
    return done ?? false;
  }

  /** The table's answer; undefined: it did not answer. */
  async #ask<T>(work: () => Promise<T>): Promise<T | undefined> {
    const { log } = this.#options;
    try {
      const answer = await work();
      if (this.#reachable === false) log.info({ members: this.members().length }, "the shards' leases can be read again");
      this.#reachable = true;
      return answer;
    } catch (error) {
      this.#seen.failed();
      if (this.#reachable !== false)
        log.warn({ error: messageOf(error) }, "the shards' leases can't be read: the members stay what they are until they can");
      this.#reachable = false;
      this.#giveUpWaiting();
      return undefined;
    }
  }

  /** M1: `join` resolves; the claim begins again when the table answers. */
  #giveUpWaiting(): void {
    const claim = this.#own?.claim;
    if (claim === undefined) return;
    claim.left = CLAIMS;
    claim.isAsked = false;
    claim.waiting?.resolve();
    claim.waiting = undefined;
  }

  /** M2, M3: `found` is the lease under this shard's name. */
  #settleName(own: Own, found: Lease | undefined): void {
    const rival = found === undefined || found.boot === own.member.boot || found.state === "left" ? undefined : found;
    own.rival = rival?.boot;
    if (rival?.rival === own.member.boot && !precedes(own, rival)) {
      this.#lose(own, rival);
      return;
    }
    const { claim } = own;
    if (claim === undefined || !claim.isAsked) return;
    const isUnclear = rival !== undefined && this.#seen.isLive(rival.boot);
    if (isUnclear && --claim.left > 0) return;
    own.claim = undefined;
    this.#changedAt = Number.NEGATIVE_INFINITY;
    this.#showOthers();
    this.#notify();
    claim.waiting?.resolve();
  }

  #lose(own: Own, { address }: Lease): void {
    const { name } = own.member;
    const message = `invalid NEBULA_SHARD "${name}": the shard at ${address} has this name and lives; use another name for each, such as "${name}-2"`;
    const error = new NebulaError("failed_precondition", message);
    this.#own = undefined;
    if (own.claim?.waiting === undefined) this.#lost.abort(error);
    else own.claim.waiting.reject(error);
    this.#notify();
  }

  /** M4 */
  #showOthers(): void {
    const now = this.#options.clock.monotonic();
    const live = this.#seen.live.filter(({ name }) => name !== this.#own?.member.name).map(memberOf);
    const isDue = now - this.#changedAt >= LEASE_MS;
    const next = isDue ? live : this.#others.filter(({ boot }) => !this.#seen.hasEnded(boot));
    if (isSame(next, this.#others)) return;
    if (isDue) this.#changedAt = now;
    this.#others = next;
    this.#notify();
  }

  #notify(): void {
    const members = this.members();
    for (const listener of this.#listeners) listener(members);
  }
}

function leaseOf({ member, count, since, rival, claim }: Own, counted = count): Lease {
  const state = claim === undefined ? "member" : "joining";
  return { ...member, count: counted, since, state, ...(rival === undefined ? {} : { rival }) };
}

function memberOf({ name, address, boot, impaired }: Lease): Member {
  return impaired ? { name, address, boot, impaired } : { name, address, boot };
}

/** M3: whether this shard keeps the name. */
function precedes(own: Own, rival: Lease): boolean {
  const isJoining = own.claim !== undefined;
  if (isJoining !== (rival.state === "joining")) return !isJoining;
  return own.since !== rival.since ? own.since < rival.since : own.member.boot < rival.boot;
}

function isSame(one: readonly Member[], other: readonly Member[]): boolean {
  const text = (members: readonly Member[]) => JSON.stringify(members.map(({ name, address, boot, impaired }) => [name, address, boot, impaired]));
  return text(one) === text(other);
}
