/**
 * Delays callers who guess: by (address, user), and by address, never by user alone, because then one caller could lock
 * another out.
 *
 * L1 Few failures cost nothing, more of them a growing delay before the next try is looked at, many a refusal with the
 *    time after which one more may do.
 * L2 Tries in flight count as failures: parallel guessing is not faster than sequential guessing.
 * L3 Memory is bounded: MOST_KEPT counts of each sort (the one that was used longest ago goes first), a few tries
 *    that wait for each, MOST_WAITING in all, none of them longer than LONGEST_WAIT_MS before its turn.
 * L4 Failures are forgotten: half of them with every FORGET_MS without a new one.
 * L5 The failures that other shards counted count here, too (LoginCounts, shared by common/redis/redis-login-counts.ts); without an answer of theirs this shard
 *    counts alone.
 */

import { hash } from "node:crypto";
import type { LoginCounts } from "../../../common/access/login-counts.ts";
import { BoundedMap } from "../../../common/bounded-map.ts";
import { backoffMs } from "../../../common/clock/backoff.ts";
import type { Clock } from "../../../common/clock/clock.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { Log } from "../../../common/log/log.ts";

/** The address of an attempt, and the user of a password; undefined: a token. */
export type Attempt = Readonly<{ address: string; user: string | undefined }>;

/** How a try that was let in ended; `unknown`: the store did not answer. */
export type AttemptEnd = "valid" | "invalid" | "unknown";

export type LoginLimits = Readonly<{
  /** Failures that cost nothing. */
  free: number;
  /** Delay of the next try, doubled with every failure, at most `longestDelayMs`. */
  delayMs: number;
  longestDelayMs: number;
  /**
   * Failures from which on tries are refused: for `refusedMs`, doubled with every further failure, at most
   * `longestRefusedMs`.
   */
  refusedFrom: number;
  refusedMs: number;
  longestRefusedMs: number;
  /** Tries that wait at once. */
  waiting: number;
}>;

const MINUTE = 60_000;
const BY_USER: LoginLimits = {
  free: 3,
  delayMs: 250,
  longestDelayMs: 4000,
  refusedFrom: 10,
  refusedMs: 30_000,
  longestRefusedMs: 15 * MINUTE,
  waiting: 8,
};
const BY_ADDRESS: LoginLimits = {
  free: 20,
  delayMs: 100,
  longestDelayMs: 1000,
  refusedFrom: 60,
  refusedMs: 30_000,
  longestRefusedMs: 5 * MINUTE,
  waiting: 100,
};
const FORGET_MS = 10 * MINUTE;
const MOST_KEPT = 10_000;
const MOST_WAITING = 1000;
/** Failures are counted up to here. */
const MOST_FAILURES = 1000;
/** No try waits longer for its turn, milliseconds. */
const LONGEST_WAIT_MS = 5000;
/** When to come back where too many tries are in flight. */
const BUSY_RETRY_MS = 1000;

type Count = { readonly key: string; failures: number; failedAt: number; inFlight: number; waiting: number; readonly released: (() => void)[] };
type Limited = Readonly<{ count: Count; limits: LoginLimits }>;
type Look = { kind: "go" } | { kind: "wait"; ms: number } | { kind: "busy" } | { kind: "refused"; retryAfterMs: number };

export type FailedLogins = {
  /** Whether an attempt from this address failed, in the time that failures are remembered, or is under way. */
  hasFailed(attempt: Attempt): boolean;
  /**
   * Lets a try in, maybe after a delay; rejects with `resource_exhausted` and a retry time. The function that it answers
   * has to be called with the end of the try.
   */
  begin(attempt: Attempt): Promise<(end: AttemptEnd) => void>;
  /**
   * Counts a failure of a try that was looked at without asking, and answers after the delay that the next one would
   * have; rejects as begin does.
   */
  failed(attempt: Attempt): Promise<void>;
};

export type FailedLoginsDeps = Readonly<{ shared: LoginCounts; clock: Clock; log: Log; signal: AbortSignal }>;

export function createFailedLogins({ shared, clock, log, signal }: FailedLoginsDeps): FailedLogins {
  const byUser = new BoundedMap<string, Count>(MOST_KEPT);
  const byAddress = new BoundedMap<string, Count>(MOST_KEPT);
  let waiting = 0;

  function countsOf(attempt: Attempt): Limited[] {
    const { address, user } = attempt;
    const ofAddress = { count: countIn(byAddress, addressKey(attempt)), limits: BY_ADDRESS };
    if (user === undefined) return [ofAddress];
    return [ofAddress, { count: countIn(byUser, `user ${hash("sha256", `${address} ${user}`, "base64")}`), limits: BY_USER }];
  }

  /**
   * @param until begins the wait: a promise made before the bounds were checked would be left without a handler by a
   * refusal
   */
  async function wait(counts: readonly Limited[], until: () => Promise<void>): Promise<void> {
    const full = counts.some(({ count, limits }) => count.waiting >= limits.waiting);
    if (full || waiting >= MOST_WAITING) throw tooMany(BUSY_RETRY_MS); // L3
    waiting++;
    for (const { count } of counts) count.waiting++;
    try {
      await until();
    } finally {
      waiting--;
      for (const { count } of counts) count.waiting--;
    }
  }

  function noteFailures(counts: readonly Limited[], { address }: Attempt): void {
    const now = clock.monotonic();
    shared.add(counts.map(({ count }) => count.key)); // L5
    for (const { count, limits } of counts) {
      forget(count, now);
      count.failures = Math.min(count.failures + 1, MOST_FAILURES);
      count.failedAt = now;
      if (count.failures === limits.refusedFrom) log.warn({ address }, "too many failed logins: further ones are refused for a while");
    }
  }

  /** L5: the counts become those of all shards, where these are higher. */
  async function readShared(counts: readonly Limited[]): Promise<void> {
    const found = await shared.read(counts.map(({ count }) => count.key));
    const now = clock.monotonic();
    for (const [index, { count }] of counts.entries()) {
      const all = found?.[index];
      if (all === undefined) continue;
      forget(count, now);
      if (all.failures <= count.failures) continue;
      count.failures = Math.min(all.failures, MOST_FAILURES);
      count.failedAt = Math.max(count.failedAt, now - all.agoMs);
    }
  }

  return {
    hasFailed(attempt) {
      const count = byAddress.get(addressKey(attempt));
      if (count === undefined) return false;
      forget(count, clock.monotonic());
      return count.failures + count.inFlight > 0;
    },

    async begin(attempt) {
      const counts = countsOf(attempt);
      const began = clock.monotonic();
      for (;;) {
        await readShared(counts);
        const looks = counts.map((each) => ({ ...each, look: look(each.count, each.limits, clock.monotonic()) }));
        const held = looks.find((each) => each.look.kind === "refused") ?? looks.find((each) => each.look.kind !== "go");
        if (held === undefined) break;
        if (held.look.kind === "refused") throw tooMany(held.look.retryAfterMs);
        if (clock.monotonic() - began > LONGEST_WAIT_MS) throw tooMany(BUSY_RETRY_MS); // L3
        const { count, look: found } = held;
        const released = () => new Promise<void>((resolve) => count.released.push(resolve));
        await wait(counts, found.kind === "wait" ? () => clock.sleep(found.ms, signal) : released);
      }
      for (const { count } of counts) count.inFlight++; // L2
      return (end) => {
        for (const { count } of counts) count.inFlight--;
        if (end === "invalid") noteFailures(counts, attempt);
        for (const { count, limits } of counts) {
          if (end === "valid" && limits === BY_USER) {
            if (count.failures > 0) shared.clear(count.key);
            count.failures = 0;
          }
          for (const resolve of count.released.splice(0)) resolve();
        }
      };
    },

    async failed(attempt) {
      const counts = countsOf(attempt);
      noteFailures(counts, attempt);
      await readShared(counts);
      for (const { count, limits } of counts) {
        const now = look(count, limits, clock.monotonic());
        if (now.kind === "refused") throw tooMany(now.retryAfterMs);
        if (now.kind === "wait") await wait(counts, () => clock.sleep(now.ms, signal));
      }
    },
  };
}

/**
 * Tokens and passwords apart: a device whose token was revoked, and which goes on trying, does not hold up its
 * neighbours' passwords.
 */
function addressKey({ address, user }: Attempt): string {
  return `${user === undefined ? "token" : "password"} ${address}`;
}

/** The count of a key, which is now the one used last (L3). */
function countIn(counts: BoundedMap<string, Count>, key: string): Count {
  const count = counts.get(key) ?? { key, failures: 0, failedAt: 0, inFlight: 0, waiting: 0, released: [] };
  counts.set(key, count);
  return count;
}

/** L4 */
function forget(count: Count, now: number): void {
  const halvings = Math.floor((now - count.failedAt) / FORGET_MS);
  if (halvings <= 0) return;
  count.failures >>= Math.min(halvings, 31);
  count.failedAt += halvings * FORGET_MS;
}

/** L1, L2: what becomes of a try now. */
function look(count: Count, limits: LoginLimits, now: number): Look {
  forget(count, now);
  const { failures, failedAt, inFlight } = count;
  if (failures >= limits.refusedFrom) {
    const until = failedAt + backoffMs({ firstMs: limits.refusedMs, longestMs: limits.longestRefusedMs }, failures - limits.refusedFrom + 1);
    if (now < until) return { kind: "refused", retryAfterMs: until - now };
  } else if (failures >= limits.free) {
    const until = failedAt + backoffMs({ firstMs: limits.delayMs, longestMs: limits.longestDelayMs }, failures - limits.free + 1);
    if (now < until) return { kind: "wait", ms: until - now };
  }
  return inFlight > 0 && failures + inFlight >= limits.free ? { kind: "busy" } : { kind: "go" };
}

function tooMany(retryAfterMs: number): NebulaError {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000));
  return new NebulaError("resource_exhausted", `too many failed logins from this address: try again in ${seconds} s`, { retryAfterMs });
}
