import type { Clock } from "../common/clock/clock.ts";
import { messageOf, NebulaError } from "../common/errors/nebula-error.ts";
import type { Jobs } from "./model.ts";
import type { ContainerRuntime, RegistryLogin } from "./runtime/container-runtime.ts";
import type { Step, StepOutcome } from "./step.ts";

/** A pull that shows no progress for so long is given up. */
const STALLED_MS = 2 * 60_000;

type PullStep = Extract<Step, { kind: "pull" }>;
type StopStep = Extract<Step, { kind: "stop" | "restart" }>;

export type EndedJob = Readonly<{ step: Step; outcome: StepOutcome }>;

export type JobsOptions = Readonly<{
  runtime: ContainerRuntime;
  clock: Clock;
  /** The login for an image, read anew at each pull; undefined: none. */
  login: (image: string) => Promise<RegistryLogin | undefined>;
  /** Called at each end: a reason to look again. */
  onEnd: () => void;
}>;

/**
 * Pulls and stops under way beside the rounds.
 * J1 one pull per image, one stop per container, at a time.
 * J2 the end of a job is handed over by `takeEnded`, once, and until then the job counts as under way.
 */
export class JobBoard implements AsyncDisposable {
  readonly #options: JobsOptions;
  readonly #pulls = new Map<string, { step: PullStep; abort: AbortController }>();
  readonly #stops = new Map<string, StopStep>();
  readonly #running = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  #ended: EndedJob[] = [];

  constructor(options: JobsOptions) {
    this.#options = options;
  }

  snapshot(): Jobs {
    return {
      pulls: [...this.#pulls.values()].map(({ step: { image, wanters }, abort }) => ({ image, wanters, isEnding: abort.signal.aborted })),
      stops: new Set(this.#stops.keys()),
    };
  }

  /** The jobs that have ended since the last call; they are under way no more. */
  takeEnded(): readonly EndedJob[] {
    const ended = this.#ended;
    this.#ended = [];
    for (const { step } of ended) {
      if (step.kind === "pull") this.#pulls.delete(step.image);
      else if (step.kind === "stop" || step.kind === "restart") this.#stops.delete(step.containerId);
    }
    return ended;
  }

  pull(step: PullStep): void {
    if (this.#pulls.has(step.image)) return; // J1
    const abort = new AbortController();
    this.#pulls.set(step.image, { step, abort });
    this.#run(step, () => this.#pullNow(step.image, abort));
  }

  /** Nobody wants this image any more. */
  abortPull(image: string): void {
    this.#pulls.get(image)?.abort.abort(new NebulaError("cancelled", "nobody wants this image any more"));
  }

  stop(step: StopStep): void {
    if (this.#stops.has(step.containerId)) return; // J1
    this.#stops.set(step.containerId, step);
    const { runtime } = this.#options;
    const { signal } = this.#closing;
    this.#run(step, () =>
      step.kind === "stop" ? runtime.stop(step.containerId, step.graceSeconds, signal) : runtime.restart(step.containerId, step.graceSeconds, signal),
    );
  }

  /** Aborts what is under way. A container that is being stopped goes on being stopped: the engine does that. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    for (const { abort } of this.#pulls.values()) abort.abort();
    await Promise.all(this.#running);
  }

  #run(step: Step, task: () => Promise<void>): void {
    const running = task()
      .then(
        (): StepOutcome => ({ kind: "done" }),
        (error): StepOutcome => outcomeOf(error),
      )
      .then((outcome) => {
        this.#ended.push({ step, outcome }); // J2
        this.#running.delete(running);
        this.#options.onEnd();
      });
    this.#running.add(running);
  }

  async #pullNow(image: string, abort: AbortController): Promise<void> {
    const { runtime, clock, login } = this.#options;
    let lastProgress = clock.monotonic();
    const watched = new AbortController();
    const onProgress = () => {
      lastProgress = clock.monotonic();
    };
    const watch = async () => {
      for (let idle = 0; idle < STALLED_MS; idle = clock.monotonic() - lastProgress) await clock.sleep(STALLED_MS - idle, watched.signal);
      abort.abort(new NebulaError("deadline_exceeded", `the pull of ${image} showed no progress for ${STALLED_MS / 1000} s`));
    };
    watch().catch(() => {}); // ended below
    try {
      await runtime.pull(image, { login: await login(image), onProgress, signal: abort.signal });
    } catch (error) {
      // However the runtime puts an abort, the reason for it is ours.
      throw abort.signal.aborted ? abort.signal.reason : error;
    } finally {
      watched.abort();
    }
  }
}

function outcomeOf(error: unknown): StepOutcome {
  if (error instanceof NebulaError && error.kind === "cancelled") return { kind: "aborted" };
  if (error instanceof Error && error.name === "AbortError") return { kind: "aborted" };
  return { kind: "failed", reason: messageOf(error) };
}
