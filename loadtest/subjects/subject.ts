import type { FleetTarget } from "../client/fleet-protocol.ts";
import type { ProcessFigures } from "../measure/process-figures.ts";
import type { Processors } from "../processes/processors.ts";

/** A server under measurement: something that many devices subscribe to and that sends the same bytes to all of them. */
export interface Subject extends AsyncDisposable {
  readonly name: SubjectName;
  /** What a device connects to. */
  target(): Promise<FleetTarget>;
  figures(): ProcessFigures;
  /** Has the server send something new to every device; resolves with the moment of its answer (`sharedNow`), when the sending has begun at most. */
  push(): Promise<number>;
}

export const SUBJECT_NAMES = ["nebula", "http2", "nats"] as const;
export type SubjectName = (typeof SUBJECT_NAMES)[number];

export type SubjectOptions = Readonly<{
  /** Bytes of what is pushed, about. */
  payloadBytes: number;
  processors: Processors;
  signal: AbortSignal;
}>;

/** Flags of Node that the manager and the bare server run with: a small young generation (docs/performance.md says why). */
export const NODE_FLAGS: readonly string[] = ["--max-semi-space-size=4"];

/** What a server of ours says when it listens. */
export function isReady(message: unknown): message is { kind: "ready"; port: number } {
  return typeof message === "object" && message !== null && "kind" in message && message.kind === "ready" && "port" in message;
}
