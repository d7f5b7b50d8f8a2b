import { backoffMs } from "../../common/clock/backoff.ts";
import { assertNever } from "../../common/errors/assert-never.ts";
import type { ErrorKind } from "../../common/errors/nebula-error.ts";

/** How one try to watch at a shard ended. Times are milliseconds. */
export type WatchOutcome = Readonly<
  /** The time for which it was served before the connection or the stream ended. */
  | { kind: "ended"; uptimeMs: number; reason: string }
  /** The shard was reached, but did not serve. `error`: the kind of the error that ended the call, if one did. */
  | { kind: "failed"; reason: string; error?: ErrorKind | undefined }
  /** No connection within the limit. */
  | { kind: "unreachable"; reason: string }
  /** Another shard serves this watch. */
  | { kind: "redirect"; address: string; retryAfterMs: number }
  /** A redirect without an address: the shard map says the next shard. uptimeMs 0: it never served. */
  | { kind: "relocate"; uptimeMs: number; retryAfterMs: number }
  /** A login, a right or a request that is refused: not worth an early retry. */
  | { kind: "refused"; problem: ErrorKind; reason: string }
>;

/** How a question for the shard map ended. Addresses are host:port, the device's own shard first. */
export type LocateOutcome = Readonly<
  | { kind: "located"; addresses: readonly string[] }
  | { kind: "unreachable"; reason: string }
  | { kind: "refused"; problem: ErrorKind; reason: string }
>;

/** The next move, after a wait. */
export type Move = Readonly<{ waitMs: number } & ({ kind: "locate" } | { kind: "dial"; address: string; serveHere: boolean })>;

/**
 * 1. After two redirects in a row, or when the target of one can't be reached, the next watch says `serve_here`: shards
 *    that disagree, or a dead one among them, lock no device out.
 * 2. Until the map is read again, each of its addresses is tried at most once as a fallback.
 * 3. Every way that never serves comes to a wait that doubles, with full jitter, up to the cap.
 */
export type WatchState = Readonly<{
  /** The newest shard map; empty: none was read yet. */
  map: readonly string[];
  /** Addresses dialled since the map was read last. */
  tried: ReadonlySet<string>;
  /** Redirects in a row. */
  redirects: number;
  /** The address of the shard that sent the last one. */
  redirectedBy: string | undefined;
  /** Tries in a row that did not come to a watch that lasted. */
  failures: number;
}>;

export type WatchTiming = Readonly<{
  /** The first wait after a failure is up to this; it doubles up to the cap. */
  backoffBaseMs: number;
  backoffCapMs: number;
  /** Between tries that are refused; half of it is jitter. */
  refusedMs: number;
  /** A watch that lasted this long was no failure. */
  stableMs: number;
}>;

export const WATCH_TIMING: WatchTiming = { backoffBaseMs: 1000, backoffCapMs: 30_000, refusedMs: 60_000, stableMs: 10_000 };

export const FIRST_STATE: WatchState = { map: [], tried: new Set(), redirects: 0, redirectedBy: undefined, failures: 0 };

type Next = Readonly<{ state: WatchState; move: Move }>;

export type MoveContext = Readonly<{
  timing: WatchTiming;
  /** From 0 up to 1. */
  random: () => number;
}>;

/** The next move after a question for the shard map. A map that was read before is better than none. */
export function afterLocate(state: WatchState, outcome: LocateOutcome, context: MoveContext): Next {
  switch (outcome.kind) {
    case "located":
      return outcome.addresses.length === 0
        ? locateLater(state, context)
        : dialFirst({ ...FIRST_STATE, failures: state.failures, map: outcome.addresses }, 0);
    case "unreachable": {
      const failed = { ...FIRST_STATE, map: state.map, failures: state.failures + 1 };
      return state.map.length === 0 ? locateLater(state, context) : dialFirst(failed, backoff(failed.failures, context));
    }
    case "refused":
      return { state, move: { kind: "locate", waitMs: refusedWait(context) } };
    default:
      return assertNever(outcome);
  }
}

/** The next move after a try at `dialled`. */
export function afterWatch(
  state: WatchState,
  dialled: Readonly<{ address: string; serveHere: boolean }>,
  outcome: WatchOutcome,
  context: MoveContext,
): Next {
  const { address, serveHere } = dialled;
  switch (outcome.kind) {
    case "ended":
      return outcome.uptimeMs >= context.timing.stableMs
        ? { state: { ...state, failures: 0 }, move: { kind: "locate", waitMs: backoff(1, context) } }
        : locateLater(state, context);
    case "failed":
      return locateLater(state, context);
    case "unreachable":
      return elsewhere(state, serveHere, context);
    case "redirect": {
      if (serveHere) return elsewhere(state, serveHere, context); // it does not do what it was asked for
      const waitMs = jittered(outcome.retryAfterMs, context);
      const followed = { ...state, redirects: state.redirects + 1, redirectedBy: address };
      if (followed.redirects >= 2) return dial(followed, address, true, waitMs); // 1
      return dial(followed, outcome.address, false, waitMs);
    }
    case "relocate": {
      const failures = outcome.uptimeMs >= context.timing.stableMs ? 0 : state.failures + 1;
      // the first time in a row the shard's own word is enough: 3 holds from the second on
      const waitMs = Math.max(jittered(outcome.retryAfterMs, context), failures > 1 ? backoff(failures, context) : 0);
      return { state: { ...state, failures }, move: { kind: "locate", waitMs } };
    }
    case "refused":
      return { state, move: { kind: "locate", waitMs: refusedWait(context) } };
    default:
      return assertNever(outcome);
  }
}

/** Where to go when a target cannot be reached: to who redirected to it, else to the next address of the map, both with `serve_here`. */
function elsewhere(state: WatchState, serveHere: boolean, context: MoveContext): Next {
  if (!serveHere && state.redirectedBy !== undefined) return dial(state, state.redirectedBy, true, 0); // 1
  const next = state.map.find((candidate) => !state.tried.has(candidate)); // 2
  return next === undefined ? locateLater(state, context) : dial(state, next, true, 0);
}

function dialFirst(state: WatchState, waitMs: number): Next {
  const [first] = state.map;
  if (first === undefined) throw new TypeError("the shard map is empty");
  return dial(state, first, false, waitMs);
}

function dial(state: WatchState, address: string, serveHere: boolean, waitMs: number): Next {
  return { state: { ...state, tried: new Set([...state.tried, address]) }, move: { kind: "dial", address, serveHere, waitMs } };
}

function locateLater(state: WatchState, context: MoveContext): Next {
  const failures = state.failures + 1;
  return { state: { ...state, failures }, move: { kind: "locate", waitMs: backoff(failures, context) } }; // 3
}

function backoff(failures: number, { timing, random }: MoveContext): number {
  return random() * backoffMs({ firstMs: timing.backoffBaseMs, longestMs: timing.backoffCapMs }, failures);
}

/** Half to one and a half times as long, so that workers with the same wait do not come back together. */
function jittered(ms: number, { random }: MoveContext): number {
  return ms * (0.5 + random());
}

function refusedWait({ timing, random }: MoveContext): number {
  return timing.refusedMs * (0.5 + random() / 2);
}
