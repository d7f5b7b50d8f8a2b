/** What the bench asks the process that polls. */
export type PollCommand = Readonly<{
  kind: "poll";
  port: number;
  /** The request as it goes over the wire. */
  request: string;
  connections: number;
  /** Whether a connection is used for one request alone. */
  once: boolean;
  warmUpMs: number;
  measureMs: number;
}>;

/** What was measured after the warm-up. */
export type Polled = Readonly<{
  requests: number;
  /** Milliseconds that the measuring took. */
  tookMs: number;
  /** Milliseconds from a request (or, where each has one, its connection's beginning) to the end of its answer. */
  p50Ms: number;
  p99Ms: number;
  /** What the slowest connection got, as a share of what each got on the average. */
  slowestShare: number;
}>;

export type PollAnswer = Readonly<{ kind: "measuring" } | ({ kind: "polled" } & Polled) | { kind: "failed"; reason: string }>;

export function isPollAnswer(message: unknown): message is PollAnswer {
  return (
    typeof message === "object" &&
    message !== null &&
    "kind" in message &&
    (message.kind === "measuring" || message.kind === "polled" || message.kind === "failed")
  );
}
