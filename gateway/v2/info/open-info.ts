import type { Registry } from "prom-client";
import type { Clock } from "../../../common/clock/clock.ts";
import type { ChangeFeed } from "../../../common/feed/change-feed.ts";
import type { Log } from "../../../common/log/log.ts";
import type { HttpMetrics } from "../../http-metrics.ts";
import type { ManagerPool } from "../../manager-pool.ts";
import { askManagers } from "./ask-managers.ts";
import { createInfoMetrics } from "./info-metrics.ts";
import { KnownVerdicts } from "./known-verdicts.ts";
import { PolledGroups } from "./polled-groups.ts";
import { type Info, serveInfo } from "./serve-info.ts";

export type OpenInfoOptions = Readonly<{
  pool: Pick<ManagerPool, "unary" | "serverStream">;
  partToken: string;
  changeFeed: Pick<ChangeFeed, "subscribe">;
  clock: Clock;
  log: Log;
  registry: Registry;
  http: HttpMetrics;
}>;

/** Serves /info until the signal is aborted: its watches end then. */
export function openInfo({ pool, partToken, changeFeed, clock, log, registry, http }: OpenInfoOptions, stopping: AbortSignal): Info {
  const verdicts = new KnownVerdicts({ ask: askManagers({ pool, partToken, signal: stopping }), clock });
  const subscription = changeFeed.subscribe((event) => {
    if (event.kind === "access") verdicts.accessChanged();
  });
  stopping.addEventListener("abort", () => subscription[Symbol.dispose](), { once: true });
  const groups = new PolledGroups({ pool, partToken, clock, log }, stopping);
  return serveInfo({ verdicts, groups, metrics: createInfoMetrics(registry), http });
}
