import type { FleetTarget } from "../client/fleet-protocol.ts";
import type { ProcessFigures } from "../measure/process-figures.ts";
import type { SubjectName } from "../measure/run-figures.ts";
import type { Processors } from "../processes/processors.ts";

/** A server under measurement: something that many devices subscribe to and that sends the same bytes to all of them. */
export interface Subject extends AsyncDisposable {
  readonly name: SubjectName;
  /** The target that a device connects to. */
  target(): Promise<FleetTarget>;
  figures(): ProcessFigures;
  /** Has the server send something new to every device; resolves with the moment of its answer (`sharedNow`), when the sending has begun at most. */
  push(): Promise<number>;
}

export type SubjectOptions = Readonly<{
  /** Bytes of what is pushed, about. */
  payloadBytes: number;
  processors: Processors;
  signal: AbortSignal;
}>;
