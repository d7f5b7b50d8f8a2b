import { Counter, Histogram, type Registry } from "prom-client";

/** Counts and times the calls of every method. */
export type RpcMetrics = {
  /** A call ended with a gRPC code; `seconds` is absent for a watch that was taken, whose length says nothing. */
  ended(method: string, code: number, seconds?: number): void;
};

export function createRpcMetrics(registry: Registry): RpcMetrics {
  /** By method and code. Plain numbers: a storm of devices raises them twenty thousand times in a few seconds. */
  const ends = new Map<string, Map<number, number>>();
  new Counter({
    name: "nebula_rpc_calls_total",
    help: "Calls by method and gRPC status code. A watch counts when it was taken or refused.",
    labelNames: ["method", "code"],
    registers: [registry],
    collect() {
      this.reset();
      for (const [method, codes] of ends) for (const [code, count] of codes) this.inc({ method, code }, count);
    },
  });
  const seconds = new Histogram({
    name: "nebula_rpc_seconds",
    help: "How long unary calls took.",
    labelNames: ["method"],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    registers: [registry],
  });
  return {
    ended(method, code, took) {
      const codes = ends.get(method) ?? new Map<number, number>();
      ends.set(method, codes);
      codes.set(code, (codes.get(code) ?? 0) + 1);
      if (took !== undefined) seconds.observe({ method }, took);
    },
  };
}
