import type { PullRefusal } from "./memory.ts";
import type { Step } from "./step.ts";

/** The first wait after a failure, and the longest; it doubles in between. Milliseconds. */
type Waits = Readonly<{ firstMs: number; longestMs: number }>;

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** A start that took a working container down must not be tried often. */
const EXCHANGE_START: Waits = { firstMs: MINUTE_MS, longestMs: HOUR_MS };
/** Where nothing runs there is nothing to protect: a missing device, or a full disk, may pass. */
const BARE_START: Waits = { firstMs: 5000, longestMs: MINUTE_MS };
/** The first wait lets a registry recover, the longest keeps a fleet from hammering one. */
const PULL: Waits = { firstMs: 15_000, longestMs: 15 * MINUTE_MS };
const HEALTH_RESTART: Waits = { firstMs: MINUTE_MS, longestMs: HOUR_MS };
const OTHER: Waits = { firstMs: 5000, longestMs: 10 * MINUTE_MS };

/** What a registry does not have, or refuses, seldom changes within minutes. */
const HOPELESS_PULL: Waits = { firstMs: 15_000, longestMs: HOUR_MS };

/** How long a pull waits after it failed for the `tries`th time, milliseconds. */
export function pullWaitMs(refusal: PullRefusal, tries: number): number {
  return waitMs(refusal === "login" || refusal === "absent" ? HOPELESS_PULL : PULL, tries);
}

/** How long a step other than a pull waits after it failed for the `tries`th time, milliseconds. */
export function failureWaitMs(step: Readonly<{ kind: Step["kind"]; isExchange?: boolean }>, tries: number): number {
  if (step.kind === "start") return waitMs(step.isExchange === true ? EXCHANGE_START : BARE_START, tries);
  return waitMs(OTHER, tries);
}

/** How long an unhealthy container is left alone after its `count`th restart, milliseconds. */
export function healthRestartWaitMs(count: number): number {
  return waitMs(HEALTH_RESTART, count);
}

function waitMs({ firstMs, longestMs }: Waits, tries: number): number {
  return Math.min(longestMs, firstMs * 2 ** Math.min(tries - 1, 30));
}
