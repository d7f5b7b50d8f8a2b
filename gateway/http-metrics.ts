import { Counter, Gauge, Histogram, type Registry } from "prom-client";

/** Counts and times what the gateway is asked. */
export type HttpMetrics = Readonly<{
  begun(): void;
  /** @param seconds undefined for a stream, whose length says nothing */
  ended(route: string, status: number, seconds: number | undefined): void;
}>;

export function createHttpMetrics(registry: Registry): HttpMetrics {
  const requests = new Counter({
    name: "nebula_http_requests_total",
    help: "HTTP requests by route and status; 499: the caller went away before the answer.",
    labelNames: ["route", "status"],
    registers: [registry],
  });
  const seconds = new Histogram({
    name: "nebula_http_request_seconds",
    help: "How long requests took that are no streams.",
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
    begun: () => open.inc(),
    ended(route, status, took) {
      open.dec();
      requests.inc({ route, status });
      if (took !== undefined) seconds.observe({ route }, took);
    },
  };
}
