import type { Clock } from "../../common/clock/clock.ts";
import { type Desired, desiredOf } from "../../common/desired/desired.ts";
import type { Config } from "../../gen/nebula/v1/config_pb.ts";
import { Observer } from "../observed/observe.ts";
import { following, type Now, type Observed, type WorkerIdentity } from "../observed/observed.ts";
import { type Memory, uninspectable } from "../plan/memory/memory.ts";
import { appliedAfter, countRepair, rememberDesired, rememberObserved, rememberOutcome } from "../plan/memory/remember.ts";
import { type Plan, plan, planWithoutConfig } from "../plan/plan.ts";
import type { Step, StepOutcome } from "../plan/step.ts";
import type { ContainerRuntime, EngineInfo } from "../runtime/container-runtime.ts";
import { beginRound } from "./execute.ts";
import type { JobBoard } from "./jobs.ts";

export type RoundsOptions = Readonly<{
  runtime: ContainerRuntime;
  clock: Clock;
  jobs: JobBoard;
  identity: WorkerIdentity;
  deviceId: string;
  memory: Memory;
  /** Called for each step that has ended. */
  onOutcome?: (step: Step, outcome: StepOutcome) => void;
  /** Called after each change of the memory. */
  onMemory?: (memory: Memory) => void;
}>;

/** A look at the engine and the plan that was made from it; `hasEnded`: a job had ended since the look before. */
export type PlannedRound = Readonly<{ desired: Desired | undefined; etag: string; observed: Observed; plan: Plan; hasEnded: boolean }>;

/**
 * The rounds of a worker, one call each: look at the engine and plan, then begin the steps. When the next round comes is
 * for the caller to decide. The invariants are those of `reconcile.ts`.
 */
export class Rounds {
  readonly #options: RoundsOptions;
  readonly #observer: Observer;
  #identity: WorkerIdentity;
  #config: Readonly<{ config: Config; etag: string }> | undefined;
  #desired: Desired | undefined;
  #memory: Memory;

  constructor(options: RoundsOptions) {
    this.#options = options;
    this.#observer = new Observer(options);
    this.#identity = options.identity;
    this.#memory = options.memory;
  }

  get identity(): WorkerIdentity {
    return this.#identity;
  }

  get memory(): Memory {
    return this.#memory;
  }

  /** Worked out at the first look after a config came; undefined before that. */
  get desired(): Desired | undefined {
    return this.#desired;
  }

  get etag(): string {
    return this.#config?.etag ?? "";
  }

  /** The merged config from now on, and the etag under which it came. */
  setConfig(config: Config, etag: string): void {
    this.#config = { config, etag };
    if (config.cluster !== undefined) this.#identity = following(this.#identity, config.cluster.id);
    this.#desired = undefined; // I10
  }

  /** The engine may be another one: its cores and memory decide how many containers an app has. */
  engineChanged(): void {
    this.#desired = undefined;
  }

  remember(memory: Memory): void {
    this.#memory = memory;
    this.#options.onMemory?.(memory);
  }

  /**
   * Takes the outcomes of ended jobs, looks at the engine, and plans. Rejects with `unavailable` if the engine is
   * unreachable.
   * @param exits by container id: its last exit code, if an event had one
   */
  async look(engine: EngineInfo, exits: ReadonlyMap<string, number>, signal: AbortSignal): Promise<PlannedRound> {
    const { jobs, clock, deviceId } = this.#options;
    const identity = this.#identity;
    const ended = jobs.takeEnded();
    for (const { step, outcome } of ended) this.#outcome(step, outcome); // I11: before the look
    const known = { adopted: this.#memory.adopted, unknown: uninspectable(this.#memory), exits };
    const began = clock.monotonic();
    const observed = await this.#observer.look({ identity, engine, jobs: jobs.snapshot(), ...known }, signal); // I1
    const now = this.#now();
    if (this.#desired === undefined && this.#config !== undefined) {
      this.#desired = desiredOf(this.#config.config, { deviceId, engine });
      this.#memory = rememberDesired(this.#memory, this.#desired, now);
    }
    const desired = this.#desired;
    this.remember(rememberObserved(this.#memory, desired, observed, identity, now, now.monotonic - began));
    const context = { now, memory: this.#memory, identity };
    const planned = desired === undefined ? planWithoutConfig(observed, context) : plan(desired, observed, context);
    if (desired !== undefined) this.remember({ ...this.#memory, applied: appliedAfter(this.#memory.applied, planned.states, desired.cluster) });
    return { desired, etag: this.etag, observed, plan: planned, hasEnded: ended.length > 0 };
  }

  /** Begins the steps of a plan, and waits for none. */
  begin({ plan: { steps }, desired }: PlannedRound): void {
    beginRound(steps, {
      jobs: this.#options.jobs,
      isOver: () => this.#desired !== desired, // I10
      onOutcome: (step, outcome) => this.#outcome(step, outcome),
    });
  }

  #outcome(step: Step, outcome: StepOutcome): void {
    this.#options.onOutcome?.(step, outcome);
    const memory = countRepair(this.#memory, step, outcome, this.#desired);
    this.remember(rememberOutcome(memory, step, outcome, this.#now()));
  }

  #now(): Now {
    const { clock } = this.#options;
    return { wall: clock.now(), monotonic: clock.monotonic() };
  }
}
