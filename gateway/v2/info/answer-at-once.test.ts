import { strict as assert } from "node:assert";
import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { Registry } from "prom-client";
import { ManualClock } from "../../../common/clock/manual-clock.ts";
import { silentLog } from "../../../common/log/log.ts";
import { createHttpMetrics } from "../../http/http-metrics.ts";
import { createInfoMetrics, serveInfo } from "./info.ts";
import { KnownVerdicts } from "./known-verdicts.ts";
import { PolledGroups, UNPOLLED_KEPT_MS } from "./polled-groups.ts";

describe("a poll of a known device_group", () => {
  it("a poll keeps a known group only if the poll is allowed", async () => {
    const clock = new ManualClock();
    const stop = new AbortController();
    async function* serverStream(_method: unknown, _request: unknown, { signal }: { signal: AbortSignal }): AsyncGenerator<never, void> {
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    }
    const groups = new PolledGroups({ pool: { serverStream }, partToken: "t", clock, log: silentLog }, stop.signal);
    const verdicts = new KnownVerdicts({ ask: async () => ({ kind: "allowed", subject: "" }), clock });
    const registry = new Registry();
    const info = serveInfo({ verdicts, groups, metrics: createInfoMetrics(registry), http: createHttpMetrics(registry) });
    const request = Object.assign(new IncomingMessage(new Socket()), { method: "GET", url: "/api/v2/device_groups/shops/info" });

    groups.polled("shops");
    for (let waited = 0; waited <= UNPOLLED_KEPT_MS; waited += 5000) {
      assert.equal(info.answerAtOnce(request, new ServerResponse(request)), false);
      await clock.advance(5000);
    }
    await clock.advance(5000);
    assert.equal(groups.size, 0, "a poll without a login must not keep a watch open");
    stop.abort();
  });
});
