import { strict as assert } from "node:assert";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import type { Config } from "../../gen/nebula/v1/config_pb.ts";
import { desiredOf } from "../desired.ts";
import { beginRound } from "../execute.ts";
import { JobBoard } from "../jobs.ts";
import { withoutInherited } from "../labels.ts";
import { EMPTY_MEMORY, type Memory, uninspectable } from "../memory.ts";
import { type Desired, following, type WorkerIdentity } from "../model.ts";
import { Observer } from "../observe.ts";
import { classify } from "../owned.ts";
import { type Plan, plan } from "../plan.ts";
import { rememberDesired, rememberObserved, rememberOutcome } from "../remember.ts";
import type { ObservedContainer } from "../runtime/container-runtime.ts";
import { type RuntimeCall, type SimulatedOptions, SimulatedRuntime } from "../runtime/simulated.ts";
import type { Step, StepOutcome } from "../step.ts";

const signal = new AbortController().signal;
/** While a job hangs, rounds are made this often. */
const JOB_LOOK_MS = 5000;
/** Calls that only look. */
const LOOKS: readonly RuntimeCall["method"][] = ["info", "listContainers", "inspectContainer", "listImages", "inspectImage", "listNetworks", "stats"];

export type WorldOptions = Partial<Omit<SimulatedOptions, "clock">> & { identity?: Partial<WorkerIdentity> };

/**
 * A planner and an engine, without the reconciler's timing: rounds are made by hand, so that thousands of worlds run in a second. Whatever a round does is
 * checked: no call of a worker's may be about a container that is not its own.
 */
export class World {
  readonly clock = new ManualClock(Date.UTC(2026, 0, 1, 12, 0, 30));
  readonly runtime: SimulatedRuntime;
  readonly violations: string[] = [];
  /** Decides whether a changing call fails. */
  fault: ((call: RuntimeCall) => boolean) | undefined;
  /** Changing calls that may still be made before the worker is killed; undefined: it is not. */
  callsLeft: number | undefined;
  /** Called whenever a changing call has taken effect. */
  watch: (() => void) | undefined;
  memory: Memory = EMPTY_MEMORY;
  desired: Desired | undefined;
  #config: Config | undefined;
  #boots = 1;
  #identity: WorkerIdentity;
  #observer: Observer;
  #jobs: JobBoard;
  #isWorking = false;
  #faults = 0;

  constructor({ identity, ...options }: WorldOptions = {}) {
    this.runtime = new SimulatedRuntime({ images: ["shop:1", "shop:2"], ...options, clock: this.clock });
    this.#identity = { instance: "main", boot: "boot-1", adopt: true, keepImages: 1, maxRestartWaitMs: 0, followed: new Set(), ...identity };
    this.#observer = new Observer({ runtime: this.runtime });
    this.#jobs = this.#newJobs();
    this.runtime.before = (call) => this.#before(call);
  }

  get identity(): WorkerIdentity {
    return this.#identity;
  }

  get containers(): readonly ObservedContainer[] {
    return this.runtime.snapshot();
  }

  get shown(): string[] {
    return this.containers.map(({ name, phase }) => `${name} ${phase}`).sort();
  }

  async apply(config: Config): Promise<void> {
    this.#config = config;
    if (config.cluster !== undefined) this.#identity = following(this.#identity, config.cluster.id);
    const engine = await this.runtime.info(signal);
    this.desired = desiredOf(config, { deviceId: "device-1", engine });
    this.memory = rememberDesired(this.memory, this.desired, this.#now());
  }

  /** The worker starts again, knowing nothing but what the engine shows and the config. */
  async restart(): Promise<void> {
    await this.#jobs[Symbol.asyncDispose]();
    this.memory = EMPTY_MEMORY;
    this.#identity = { ...this.#identity, boot: `boot-${++this.#boots}` };
    this.#observer = new Observer({ runtime: this.runtime });
    this.#jobs = this.#newJobs();
    this.callsLeft = undefined;
    if (this.#config !== undefined) await this.apply(this.#config);
  }

  /** Looks and plans, and does nothing. */
  async look(): Promise<Plan> {
    assert.ok(this.desired, "no config yet");
    for (const { step, outcome } of this.#jobs.takeEnded()) this.#outcome(step, outcome);
    const engine = await this.runtime.info(signal);
    const known = { adopted: this.memory.adopted, unknown: uninspectable(this.memory), exits: new Map() };
    const began = this.clock.monotonic();
    const looking = this.#observer.look({ identity: this.#identity, engine, jobs: this.#jobs.snapshot(), ...known }, signal);
    const observed = await this.#throughTime(looking);
    this.memory = rememberObserved(this.memory, this.desired, observed, this.#identity, this.#now(), this.clock.monotonic() - began);
    return plan(this.desired, observed, { now: this.#now(), memory: this.memory, identity: this.#identity });
  }

  /** One round. Throws `Killed` when the worker is killed in it. */
  async round(): Promise<Plan> {
    const planned = await this.look();
    this.#isWorking = true;
    try {
      beginRound(planned.steps, {
        jobs: this.#jobs,
        isOver: () => this.#isKilled,
        onOutcome: (step, outcome) => this.#outcome(step, outcome),
      });
      await this.#quiet();
      this.watch?.();
    } catch (error) {
      if (!isNebulaError(error, "unavailable")) throw error;
    } finally {
      this.#isWorking = false;
    }
    if (this.#isKilled) throw new Killed();
    return planned;
  }

  /** Rounds, letting the time pass that the plan waits for, until there is nothing to do and nothing to wait for within `horizonMs`. */
  async converge({ horizonMs = 4 * 60 * 60_000, mostRounds = 1000 } = {}): Promise<Plan> {
    const end = this.clock.monotonic() + horizonMs;
    for (let rounds = 0; rounds < mostRounds; rounds++) {
      const planned = await this.round();
      if (planned.steps.length > 0) continue;
      const wakeAt = planned.wakeAt ?? Number.POSITIVE_INFINITY;
      const jobEnd = this.#isBusy ? this.clock.monotonic() + JOB_LOOK_MS : Number.POSITIVE_INFINITY;
      if (Math.min(wakeAt, jobEnd) > end) return planned;
      await this.clock.advance(Math.max(1, Math.min(wakeAt, jobEnd) - this.clock.monotonic()));
    }
    throw new Error(
      `no end after ${mostRounds} rounds: ${this.shown.join(", ")}; next: ${(await this.look()).steps.map(({ key }) => key).join(", ")}`,
    );
  }

  get #isKilled(): boolean {
    return this.callsLeft !== undefined && this.callsLeft <= 0;
  }

  #before(call: RuntimeCall): void {
    if (!this.#isWorking || LOOKS.includes(call.method)) return;
    this.watch?.(); // the call before this one has taken effect
    if (this.#isKilled) throw new NebulaError("unavailable", "the worker was killed");
    if (this.callsLeft !== undefined) this.callsLeft--;
    this.#checkOwner(call);
    if (this.fault?.(call) === true) throw new NebulaError("failed_precondition", `fault ${++this.#faults} of ${call.method}`);
  }

  /** Own containers only; images and networks have no owner. */
  #checkOwner({ method, target }: RuntimeCall): void {
    if (method === "create" || method === "pull" || method === "removeImage" || method === "createNetwork") return;
    if (!this.containers.some(({ id }) => id === target)) return; // gone by now
    const ofImage = new Map(this.runtime.images.list().map(({ id, labels }) => [id, labels]));
    const own = this.containers.map((each) => ({ ...each, labels: withoutInherited(each.labels, ofImage.get(each.imageId) ?? {}) }));
    const { owned } = classify(own, this.#identity, undefined, this.memory.adopted);
    if (!owned.some(({ container }) => container.id === target)) this.violations.push(`${method} of ${target}`);
  }

  #outcome(step: Step, outcome: StepOutcome): void {
    this.memory = rememberOutcome(this.memory, step, outcome, this.#now());
  }

  /** Lets jobs end that need no time. */
  async #quiet(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    for (let turn = 0; turn < 20 && this.#isBusy; turn++) await this.clock.advance(0);
  }

  /** Jobs are under way that have not ended. */
  get #isBusy(): boolean {
    return this.#jobs.unended > 0;
  }

  /** Waits for what may need time to pass: an inspect that hangs. */
  async #throughTime<T>(task: Promise<T>): Promise<T> {
    let isDone = false;
    const mark = () => {
      isDone = true;
    };
    task.then(mark, mark);
    for (let turn = 0; turn < 50 && !isDone; turn++) await Promise.resolve();
    while (!isDone) await this.clock.advance(1000);
    return await task;
  }

  #newJobs(): JobBoard {
    return new JobBoard({ runtime: this.runtime, clock: this.clock, login: async () => undefined, onEnd: () => {} });
  }

  #now() {
    return { wall: this.clock.now(), monotonic: this.clock.monotonic() };
  }
}

export class Killed extends Error {}
