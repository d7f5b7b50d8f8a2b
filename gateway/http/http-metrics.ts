import { Counter, Gauge, Histogram, type Registry } from "prom-client";

/** Counts and times what the gateway is asked. */
export type HttpMetrics = Readonly<{
  /** A request was answered in the turn in which it came: it is counted and neither timed nor among the open ones, at next to no cost. */
  endedAtOnce(route: string, status: number): void;
  begun(): void;
  /** @param seconds undefined for a stream, whose length says nothing */
  ended(route: string, status: number, seconds: number | undefined): void;
}>;

export function createHttpMetrics(registry: Registry): HttpMetrics {
  const atOnce = new Map<string, Map<number, number>>();
  const requests = new Counter({
    name: "nebula_http_requests_total",
    help: "HTTP requests by route and status; 499: the caller went away before the answer.",
    labelNames: ["route", "status"],
    registers: [registry],
    collect() {
      // A labelled counter costs more than such an answer itself: plain numbers are kept until somebody asks.
      for (const [route, counts] of atOnce) for (const [status, count] of counts) this.inc({ route, status }, count);
      atOnce.clear();
    },
  });
  const seconds = new Histogram({
    name: "nebula_http_request_seconds",
    help: "How long requests took that are no streams, nor answered from memory in the turn in which they came.",
    labelNames: ["route"],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    registers: [registry],
  });
  const open = new Gauge({
    name: "nebula_http_requests_open",
    help: "HTTP requests that are being answered, streams included.",
    registers: [registry],
  });
  return {
    endedAtOnce(route, status) {
      const counts = atOnce.get(route);
      if (counts === undefined) atOnce.set(route, new Map([[status, 1]]));
      else counts.set(status, (counts.get(status) ?? 0) + 1);
    },
    begun: () => open.inc(),
    ended(route, status, took) {
      open.dec();
      requests.inc({ route, status });
      if (took !== undefined) seconds.observe({ route }, took);
    },
  };
}
