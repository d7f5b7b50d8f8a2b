import { strict as assert } from "node:assert";
import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { Registry } from "prom-client";
import { ManualClock } from "../../../common/clock/manual-clock.ts";
import { silentLog } from "../../../common/log/log.ts";
import { createHttpMetrics } from "../../http-metrics.ts";
import { createInfoMetrics } from "./info-metrics.ts";
import { KnownVerdicts } from "./known-verdicts.ts";
import { PolledGroups, UNPOLLED_KEPT_MS } from "./polled-groups.ts";
import { serveInfo } from "./serve-info.ts";

describe("a poll of a device_group that is in memory", () => {
  it("keeps it there only where it is allowed", async () => {
    const clock = new ManualClock();
    const stop = new AbortController();
    async function* serverStream(_method: unknown, _request: unknown, { signal }: { signal: AbortSignal }): AsyncGenerator<never, void> {
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    }
    const groups = new PolledGroups({ pool: { serverStream }, partToken: "t", clock, log: silentLog }, stop.signal);
    const verdicts = new KnownVerdicts({ ask: async () => ({ kind: "allowed" }), clock });
    const registry = new Registry();
    const info = serveInfo({ verdicts, groups, metrics: createInfoMetrics(registry), http: createHttpMetrics(registry) });
    const request = Object.assign(new IncomingMessage(new Socket()), { method: "GET", url: "/api/v2/device_groups/shops/info" });

    groups.polled("shops");
    for (let waited = 0; waited <= UNPOLLED_KEPT_MS; waited += 5000) {
      assert.equal(info.answerAtOnce(request, new ServerResponse(request)), false);
      await clock.advance(5000);
    }
    await clock.advance(5000);
    assert.equal(groups.size, 0, "whoever has no login does not have the managers' watch held open");
    stop.abort();
  });
});
