import { Counter, Registry } from "prom-client";

/**
 * Where a hint is lost: an event that nobody gets, an event that this process does not get, a config that is not
 * cached, an answer that came too late.
 */
export type LostHint = "publish" | "event" | "put" | "get";

/** The kind of a hint that was refused: it does not open under the cluster key, belongs elsewhere, or is a repeat. */
export type RejectedHint = "config" | "event" | "lease" | "login" | "polled";

/** The metrics of cache, feed and membership: hints that were used, lost and refused. */
export type HintMetrics = Readonly<{
  /** @param result `failed`: the cache did not answer in time, or refused the read */
  cacheRead(result: "hit" | "miss" | "failed"): void;
  lost(what: LostHint, count?: number): void;
  /** The subscription was broken, and is whole again. */
  gap(): void;
  rejected(what: RejectedHint): void;
}>;

export function createHintMetrics(registry: Registry = new Registry()): HintMetrics {
  const registers = [registry];
  const reads = new Counter({
    name: "nebula_config_cache_reads_total",
    help: "Configs looked for in the cache, by result.",
    labelNames: ["result"],
    registers,
  });
  const lost = new Counter({
    name: "nebula_hints_lost_total",
    help: "Hints that were lost, by what they were: the regular check repairs what they leave.",
    labelNames: ["what"],
    registers,
  });
  const gaps = new Counter({ name: "nebula_feed_gaps_total", help: "Subscriptions to the change feed that broke and are whole again.", registers });
  const rejected = new Counter({
    name: "nebula_hints_rejected_total",
    help: "Hints that do not open under the cluster key, belong elsewhere or are repeats, by what they were.",
    labelNames: ["what"],
    registers,
  });
  for (const result of ["hit", "miss", "failed"]) reads.inc({ result }, 0);
  for (const what of ["publish", "event", "put", "get"] satisfies LostHint[]) lost.inc({ what }, 0);
  for (const what of ["config", "event", "lease", "login", "polled"] satisfies RejectedHint[]) rejected.inc({ what }, 0);
  return {
    cacheRead: (result) => reads.inc({ result }),
    lost: (what, count = 1) => lost.inc({ what }, count),
    gap: () => gaps.inc(),
    rejected: (what) => rejected.inc({ what }),
  };
}
