import { Counter, Histogram, type Registry } from "prom-client";

/** Counts and times the calls of every method. */
export type RpcMetrics = {
  /** A call ended with a gRPC code; `seconds` is absent for a watch that was taken, whose length says nothing. */
  ended(method: string, code: number, seconds?: number): void;
};

export function createRpcMetrics(registry: Registry): RpcMetrics {
  const calls = new Counter({
    name: "nebula_rpc_calls_total",
    help: "Calls by method and gRPC status code. A watch counts when it was taken or refused.",
    labelNames: ["method", "code"],
    registers: [registry],
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
      calls.inc({ method, code });
      if (took !== undefined) seconds.observe({ method }, took);
    },
  };
}
