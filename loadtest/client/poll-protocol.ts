/** The commands of the bench to the process that polls: `open` once, then slices, then `finish`. Between slices the process is silent. */
export type PollCommand = OpenCommand | Readonly<{ kind: "slice"; ms: number }> | Readonly<{ kind: "finish" }>;

export type OpenCommand = Readonly<{
  kind: "open";
  port: number;
  /** The request as it goes over the wire. */
  request: string;
  connections: number;
  /** Whether a connection is used for one request alone. */
  once: boolean;
  /** How long it polls once each connection was answered, and before the first slice. */
  warmUpMs: number;
}>;

/** The measurements of all slices together. */
export type Polled = Readonly<{
  requests: number;
  /** Milliseconds that the slices took. */
  tookMs: number;
  /** Milliseconds from a request (or, where each has one, its connection's beginning) to the end of its answer. */
  p50Ms: number;
  p99Ms: number;
  /** The answers of the slowest connection, as a share of what each got on the average. */
  slowestShare: number;
}>;

export type PollAnswer =
  /** Every connection was answered once, the last of them after `firstAnswersMs`, and the warm-up is over. */
  Readonly<{ kind: "opened"; firstAnswersMs: number } | { kind: "measured" } | ({ kind: "polled" } & Polled) | { kind: "failed"; reason: string }>;

const ANSWERS: readonly unknown[] = ["opened", "measured", "polled", "failed"] satisfies PollAnswer["kind"][];

export function isPollAnswer(message: unknown): message is PollAnswer {
  return typeof message === "object" && message !== null && "kind" in message && ANSWERS.includes(message.kind);
}
