/**
 * Holds up whoever guesses: by (address, user), and by address, never by user alone, so that nobody locks somebody else out.
 *
 * F1 Few failures cost nothing, more of them a growing delay before the next try is looked at, many a refusal with the time after which one more may do.
 * F2 Tries in flight count as if they had failed already: guessing at once is no faster than guessing in turn.
 * F3 What is kept is bounded: MOST_KEPT counts of each sort (the one that was used longest ago goes first), a few tries that wait for each, MOST_WAITING in all,
 *    none of them longer than LONGEST_WAIT_MS before its turn.
 * F4 Failures are forgotten: half of them with every FORGET_MS without a new one.
 */
import { hash } from "node:crypto";
import type { Clock } from "../../common/clock/clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";

/** Who tries. `user`: of a password; undefined: a token. */
export type Attempt = Readonly<{ address: string; user: string | undefined }>;

/** How a try that was let in ended; `unknown`: the store did not answer. */
export type AttemptEnd = "valid" | "invalid" | "unknown";

export type LoginLimits = Readonly<{
  /** Failures that cost nothing. */
  free: number;
  /** Delay of the next try, doubled with every failure, at most `longestDelayMs`. */
  delayMs: number;
  longestDelayMs: number;
  /** Failures from which on tries are refused: for `refusedMs`, doubled with every further failure, at most `longestRefusedMs`. */
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
/** No try waits longer for its turn, milliseconds. */
const LONGEST_WAIT_MS = 5000;
/** When to come back where too many tries are in flight. */
const BUSY_RETRY_MS = 1000;

type Count = { failures: number; failedAt: number; inFlight: number; waiting: number; readonly released: (() => void)[] };
type Look = { kind: "go" } | { kind: "wait"; ms: number } | { kind: "busy" } | { kind: "refused"; retryAfterMs: number };

export type FailedLogins = {
  /** Whether an attempt from this address failed, in the time that failures are remembered, or is under way. */
  hasFailed(attempt: Attempt): boolean;
  /** Lets a try in, maybe after a delay; rejects with `resource_exhausted` and a retry time. What it answers has to be called with the end of the try. */
  begin(attempt: Attempt): Promise<(end: AttemptEnd) => void>;
  /** Counts a failure of a try that was looked at without asking, and answers after the delay that the next one would have; rejects as begin does. */
  failed(attempt: Attempt): Promise<void>;
};

export function createFailedLogins({ clock, log, signal }: { clock: Clock; log: Log; signal: AbortSignal }): FailedLogins {
  const byUser = new Map<string, Count>();
  const byAddress = new Map<string, Count>();
  let waiting = 0;

  function countsOf(attempt: Attempt): { count: Count; limits: LoginLimits }[] {
    const { address, user } = attempt;
    const ofAddress = { count: countIn(byAddress, addressKey(attempt)), limits: BY_ADDRESS };
    if (user === undefined) return [ofAddress];
    return [ofAddress, { count: countIn(byUser, hash("sha256", `${address} ${user}`, "base64")), limits: BY_USER }];
  }

  /** @param until begins the wait: a promise made before the bounds were checked would be left without a handler by a refusal */
  async function wait(counts: readonly { count: Count; limits: LoginLimits }[], until: () => Promise<void>): Promise<void> {
    const full = counts.some(({ count, limits }) => count.waiting >= limits.waiting);
    if (full || waiting >= MOST_WAITING) throw tooMany(BUSY_RETRY_MS); // F3
    waiting++;
    for (const { count } of counts) count.waiting++;
    try {
      await until();
    } finally {
      waiting--;
      for (const { count } of counts) count.waiting--;
    }
  }

  function noteFailure({ count, limits }: { count: Count; limits: LoginLimits }, { address }: Attempt): void {
    const now = clock.monotonic();
    forget(count, now);
    count.failures = Math.min(count.failures + 1, 1000);
    count.failedAt = now;
    if (count.failures === limits.refusedFrom) log.warn({ address }, "too many failed logins: further ones are refused for a while");
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
        const looks = counts.map((each) => ({ ...each, look: look(each.count, each.limits, clock.monotonic()) }));
        const held = looks.find((each) => each.look.kind === "refused") ?? looks.find((each) => each.look.kind !== "go");
        if (held === undefined) break;
        if (held.look.kind === "refused") throw tooMany(held.look.retryAfterMs);
        if (clock.monotonic() - began > LONGEST_WAIT_MS) throw tooMany(BUSY_RETRY_MS); // F3
        const { count, look: found } = held;
        const released = () => new Promise<void>((resolve) => count.released.push(resolve));
        await wait(counts, found.kind === "wait" ? () => clock.sleep(found.ms, signal) : released);
      }
      for (const { count } of counts) count.inFlight++; // F2
      return (end) => {
        for (const each of counts) {
          each.count.inFlight--;
          if (end === "invalid") noteFailure(each, attempt);
          else if (end === "valid" && each.limits === BY_USER) each.count.failures = 0;
          for (const resolve of each.count.released.splice(0)) resolve();
        }
      };
    },

    async failed(attempt) {
      const counts = countsOf(attempt);
      for (const each of counts) noteFailure(each, attempt);
      for (const { count, limits } of counts) {
        const now = look(count, limits, clock.monotonic());
        if (now.kind === "refused") throw tooMany(now.retryAfterMs);
        if (now.kind === "wait") await wait(counts, () => clock.sleep(now.ms, signal));
      }
    },
  };
}

/** Tokens and passwords apart: a device whose token was revoked, and which goes on trying, does not hold up its neighbours' passwords. */
function addressKey({ address, user }: Attempt): string {
  return `${user === undefined ? "token" : "password"} ${address}`;
}

/** The count of a key, which is now the one used last (F3). */
function countIn(counts: Map<string, Count>, key: string): Count {
  const count = counts.get(key) ?? { failures: 0, failedAt: 0, inFlight: 0, waiting: 0, released: [] };
  counts.delete(key);
  counts.set(key, count);
  if (counts.size > MOST_KEPT) {
    for (const oldest of counts.keys()) {
      counts.delete(oldest);
      break;
    }
  }
  return count;
}

/** F4 */
function forget(count: Count, now: number): void {
  const halvings = Math.floor((now - count.failedAt) / FORGET_MS);
  if (halvings <= 0) return;
  count.failures >>= Math.min(halvings, 31);
  count.failedAt += halvings * FORGET_MS;
}

/** F1, F2: what becomes of a try now. */
function look(count: Count, limits: LoginLimits, now: number): Look {
  forget(count, now);
  const { failures, failedAt, inFlight } = count;
  if (failures >= limits.refusedFrom) {
    const until = failedAt + Math.min(limits.refusedMs * 2 ** (failures - limits.refusedFrom), limits.longestRefusedMs);
    if (now < until) return { kind: "refused", retryAfterMs: until - now };
  } else if (failures >= limits.free) {
    const until = failedAt + Math.min(limits.delayMs * 2 ** (failures - limits.free), limits.longestDelayMs);
    if (now < until) return { kind: "wait", ms: until - now };
  }
  return inFlight > 0 && failures + inFlight >= limits.free ? { kind: "busy" } : { kind: "go" };
}

function tooMany(retryAfterMs: number): NebulaError {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000));
  return new NebulaError("resource_exhausted", `too many failed logins from this address: try again in ${seconds} s`, { retryAfterMs });
}
