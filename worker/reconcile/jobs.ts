import type { Clock } from "../../common/clock/clock.ts";
import { assertNever } from "../../common/errors/assert-never.ts";
import { isNebulaError, messageOf, NebulaError } from "../../common/errors/nebula-error.ts";
import { Places } from "../../common/places.ts";
import { LABEL, ORCHESTRATOR } from "../observed/labels.ts";
import type { Jobs } from "../observed/observed.ts";
import { keyOf, type LaneStep, type Step, type StepOutcome } from "../plan/step.ts";
import type { ContainerRuntime, RegistryLogin } from "../runtime/container-runtime.ts";
import type { PullBytes } from "../runtime/pull-progress.ts";
import { pullImage } from "./pull-image.ts";

/**
 * Lanes side by side. One that takes longer gives its place to the next, and the ends of others are no longer handed over
 * together with its own.
 */
const LANES = { count: 4, patienceMs: 1000 };
/** Of more steps a lost connection is not remembered. */
const MOST_INTERRUPTED = 1000;

type PullStep = Extract<Step, { kind: "pull" }>;
type StopStep = Extract<Step, { kind: "stop" | "restart" }>;

export type EndedJob = Readonly<{ step: Step; outcome: StepOutcome }>;

export type JobsOptions = Readonly<{
  runtime: ContainerRuntime;
  clock: Clock;
  /** The login for an image, read again at each pull; undefined: none. */
  login: (image: string) => Promise<RegistryLogin | undefined>;
  isSaving?: () => boolean;
  /** Called at each end: a reason to look again. */
  onEnd: () => void;
}>;

/**
 * Everything that the engine is asked to do, beside the rounds: lanes of steps, pulls and stops.
 * J1 one pull per image, one stop per container, one run of a lane, at a time.
 * J2 the end of a job, and of each step of a lane, is handed over by `takeEnded`, once, and until then the job counts
 *    as under way.
 * J3 a call that hangs holds its lane, and no other.
 */
export class JobBoard implements AsyncDisposable {
  readonly #options: JobsOptions;
  readonly #pulls = new Map<string, { step: PullStep; abort: AbortController; startedAt: number; bytes: PullBytes }>();
  readonly #stops = new Map<string, StopStep>();
  readonly #lanes = new Map<string, readonly LaneStep[]>();
  /** Lanes that have not ended, and are not slow. */
  readonly #fresh = new Set<string>();
  readonly #places: Places;
  /** Keys of steps whose last call lost its connection. */
  readonly #interrupted = new Set<string>();
  readonly #running = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  #ended: EndedJob[] = [];
  #endedLanes: string[] = [];

  constructor(options: JobsOptions) {
    this.#options = options;
    this.#places = new Places({ clock: options.clock, ...LANES });
  }

  snapshot(): Jobs {
    const steps = [...this.#lanes.values()].flat();
    return {
      pulls: [...this.#pulls.values()].map(({ step: { image, wanters }, abort, startedAt, bytes }) => ({
        image,
        wanters,
        startedAt,
        bytes,
        isEnding: abort.signal.aborted,
      })),
      stops: new Set(this.#stops.keys()),
      saving: this.#options.isSaving?.() ?? false,
      lanes: new Set(this.#lanes.keys()),
      touched: new Set(steps.flatMap((step) => ("containerId" in step ? [step.containerId] : []))),
      ownKeys: ownKeysOf(steps),
    };
  }

  /** Jobs that have not ended. */
  get unended(): number {
    return this.#running.size;
  }

  /** Whether a lane or a stop under way is about this container: its end is the reason to look. */
  isAbout(containerId: string): boolean {
    if (this.#stops.has(containerId)) return true;
    return [...this.#lanes.values()].some((steps) => steps.some((step) => "containerId" in step && step.containerId === containerId));
  }

  /** The engine was away, and is followed again: connections that were lost before are no step's fault. */
  reconnected(): void {
    this.#interrupted.clear();
  }

  /** The jobs, and steps of lanes, that have ended since the last call. */
  takeEnded(): readonly EndedJob[] {
    const ended = this.#ended.map(({ step, outcome }) => ({
      step: step.kind === "pull" ? (this.#pulls.get(step.image)?.step ?? step) : step,
      outcome,
    }));
    this.#ended = [];
    for (const { step } of ended) {
      if (step.kind === "pull") this.#pulls.delete(step.image);
      else if (step.kind === "stop" || step.kind === "restart") this.#stops.delete(step.containerId);
    }
    for (const lane of this.#endedLanes) this.#lanes.delete(lane);
    this.#endedLanes = [];
    return ended;
  }

  /**
   * Has the steps of a lane done in their order, up to the first that fails.
   * @param isOver asked before each step: true ends the lane there
   */
  work(lane: string, steps: readonly LaneStep[], isOver: () => boolean): void {
    if (this.#lanes.has(lane)) return; // J1
    this.#lanes.set(lane, steps);
    this.#fresh.add(lane);
    const onSlow = () => this.#stale(lane);
    const running = this.#places
      .run(() => this.#inOrder(steps, isOver), onSlow)
      .then(() => {
        this.#endedLanes.push(lane); // J2
        this.#running.delete(running);
        if (!this.#stale(lane)) this.#options.onEnd();
      });
    this.#running.add(running);
  }

  /**
   * Ends of lanes come in bunches: they are one reason to look, when no lane is left but slow ones. Returns whether it
   * was not slow yet.
   */
  #stale(lane: string): boolean {
    const wasFresh = this.#fresh.delete(lane);
    if (wasFresh && this.#fresh.size === 0) this.#options.onEnd();
    return wasFresh;
  }

  async #inOrder(steps: readonly LaneStep[], isOver: () => boolean): Promise<void> {
    for (const step of steps) {
      if (isOver() || this.#closing.signal.aborted) return;
      if (step.kind === "stop" || step.kind === "restart") {
        this.#stop(step);
        continue;
      }
      const outcome = await this.#outcomeOf(step, this.#call(step));
      this.#ended.push({ step, outcome }); // J2
      if (outcome.kind !== "done") return;
    }
  }

  /** Answers the container's id after a create, else undefined. */
  async #call(step: Exclude<LaneStep, StopStep>): Promise<string | undefined> {
    const { runtime } = this.#options;
    const { signal } = this.#closing;
    switch (step.kind) {
      case "create_network":
        await runtime.createNetwork(step.network, { [LABEL.orchestrator]: ORCHESTRATOR }, signal);
        return undefined;
      case "remove_network":
        await runtime.removeNetwork(step.networkId, signal);
        return undefined;
      case "create":
        return await runtime.create(step.request, signal);
      case "connect":
        await runtime.connectNetwork(step.containerId, step.networkId, signal);
        return undefined;
      case "disconnect":
        await runtime.disconnectNetwork(step.containerId, step.networkId, signal);
        return undefined;
      case "start":
        await runtime.start(step.containerId, signal);
        return undefined;
      case "rename":
        await runtime.rename(step.containerId, step.name, signal);
        return undefined;
      case "remove":
        await runtime.remove(step.containerId, { force: step.force }, signal);
        return undefined;
      case "remove_volume":
        await runtime.removeVolume(step.volume, signal);
        return undefined;
      case "unpause":
        await runtime.unpause(step.containerId, signal);
        return undefined;
      case "inspect": {
        const { container } = await runtime.inspectContainer(step.containerId, signal);
        await runtime.inspectImage(container.imageId, signal); // a look needs its labels too
        return undefined;
      }
      case "remove_image":
        await runtime.removeImage(step.imageId, signal);
        return undefined;
      default:
        return assertNever(step);
    }
  }

  pull(step: PullStep): void {
    if (this.#pulls.has(step.image)) return; // J1
    const abort = new AbortController();
    const pull = { step, abort, startedAt: this.#options.clock.monotonic(), bytes: { done: 0, total: 0 } };
    this.#pulls.set(step.image, pull);
    const onBytes = (bytes: PullBytes) => {
      pull.bytes = bytes;
    };
    this.#run(step, pullImage(step.image, this.#options, abort, onBytes));
  }

  /** The units that the end of a pull under way is about from now on. */
  joinPull({ image, wanters }: Extract<Step, { kind: "join_pull" }>): void {
    const pull = this.#pulls.get(image);
    if (pull !== undefined) pull.step = { ...pull.step, wanters };
  }

  /** No unit wants this image any more. */
  abortPull(image: string): void {
    this.#pulls.get(image)?.abort.abort(new NebulaError("cancelled", "no unit wants this image any more"));
  }

  #stop(step: StopStep): void {
    if (this.#stops.has(step.containerId)) return; // J1
    this.#stops.set(step.containerId, step);
    const { runtime } = this.#options;
    const { signal } = this.#closing;
    const { containerId, graceSeconds } = step;
    this.#run(step, step.kind === "stop" ? runtime.stop(containerId, graceSeconds, signal) : runtime.restart(containerId, graceSeconds, signal));
  }

  /** Aborts what is under way. The engine completes the stop of a container that is being stopped. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    for (const { abort } of this.#pulls.values()) abort.abort();
    await Promise.all(this.#running);
  }

  #run(step: Step, task: Promise<void>): void {
    const running = this.#outcomeOf(
      step,
      task.then(() => undefined),
    ).then((outcome) => {
      this.#ended.push({ step, outcome }); // J2
      this.#running.delete(running);
      this.#options.onEnd();
    });
    this.#running.add(running);
  }

  /**
   * How a step ended. A lost connection is at first no fault of the step's: the next look tells whether the engine is
   * there. Where it is, and the same step loses its connection again, the step has failed.
   */
  async #outcomeOf(step: Step, task: Promise<string | undefined>): Promise<StepOutcome> {
    const key = keyOf(step);
    try {
      const created = await task;
      this.#interrupted.delete(key);
      return { kind: "done", ...(created !== undefined && { created }) };
    } catch (error) {
      if (isNebulaError(error, "cancelled") || (error instanceof Error && error.name === "AbortError")) return { kind: "aborted" };
      const isFirstLoss = isNebulaError(error, "unavailable") && !this.#interrupted.delete(key);
      if (!isFirstLoss) return { kind: "failed", reason: messageOf(error), ...(isNebulaError(error) && { errorKind: error.kind }) };
      if (this.#interrupted.size >= MOST_INTERRUPTED) this.#interrupted.clear();
      this.#interrupted.add(key);
      return { kind: "aborted" };
    }
  }
}

/** By container id: the keys of the steps that are about that container alone, not about its place. */
function ownKeysOf(steps: readonly LaneStep[]): ReadonlyMap<string, readonly string[]> {
  const keys = new Map<string, readonly string[]>();
  for (const step of steps) {
    if (!("containerId" in step) || ("place" in step && step.place !== undefined)) continue;
    keys.set(step.containerId, [...(keys.get(step.containerId) ?? []), keyOf(step)]);
  }
  return keys;
}
