import { strict as assert } from "node:assert";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import type { Desired } from "../../common/desired/desired.ts";
import { isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import type { Config } from "../../gen/nebula/v1/config_pb.ts";
import { restoreMemory, storeMemory } from "../data/stored-memory.ts";
import { withoutInherited } from "../observed/labels.ts";
import type { WorkerIdentity } from "../observed/observed.ts";
import { classify } from "../observed/owned.ts";
import { EMPTY_MEMORY, type Memory } from "../plan/memory/memory.ts";
import type { Plan } from "../plan/plan.ts";
import { keyOf } from "../plan/step.ts";
import { JobBoard } from "../reconcile/jobs.ts";
import { type PlannedRound, Rounds } from "../reconcile/round.ts";
import type { ObservedContainer } from "../runtime/container-runtime.ts";
import { type RuntimeCall, type SimulatedOptions, SimulatedRuntime } from "../runtime/simulated/simulated.ts";

const signal = new AbortController().signal;
/** While a job hangs, rounds are made this often. */
const JOB_LOOK_MS = 5000;
/** Calls that only look. */
const LOOKS: readonly RuntimeCall["method"][] = ["info", "listContainers", "inspectContainer", "listImages", "inspectImage", "listNetworks", "stats"];

export type WorldOptions = Partial<Omit<SimulatedOptions, "clock">> & { identity?: Partial<WorkerIdentity> };

/**
 * The rounds of the reconciler on a simulated engine, without its timing: each is made by hand, so that thousands of
 * worlds run in a second. Every call of a round is checked: none may be about a container that the worker does not own.
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
  #config: Config | undefined;
  #boots = 1;
  #rounds: Rounds;
  #jobs: JobBoard;
  #isWorking = false;
  #faults = 0;

  constructor({ identity, ...options }: WorldOptions = {}) {
    this.runtime = new SimulatedRuntime({ images: ["shop:1", "shop:2"], ...options, clock: this.clock });
    const plain = { instance: "main", boot: "boot-1", adopt: true, keepImages: 1, maxRestartWaitMs: 0, followed: new Set<string>() };
    this.#jobs = this.#newJobs();
    this.#rounds = this.#newRounds({ ...plain, ...identity }, EMPTY_MEMORY);
    this.runtime.before = (call) => this.#before(call);
  }

  get identity(): WorkerIdentity {
    return this.#rounds.identity;
  }

  get memory(): Memory {
    return this.#rounds.memory;
  }

  set memory(memory: Memory) {
    this.#rounds.remember(memory);
  }

  /** Known from the first look with a config on. */
  get desired(): Desired | undefined {
    return this.#rounds.desired;
  }

  get containers(): readonly ObservedContainer[] {
    return this.runtime.snapshot();
  }

  get shown(): string[] {
    return this.containers.map(({ name, phase }) => `${name} ${phase}`).sort();
  }

  async apply(config: Config): Promise<void> {
    this.#config = config;
    this.#rounds.setConfig(config, "");
  }

  /** The worker starts again, knowing nothing but what the engine shows, the config, and what it kept where it may. */
  async restart({ keepsMemory = false } = {}): Promise<void> {
    await this.#jobs[Symbol.asyncDispose]();
    const kept = keepsMemory ? restoreMemory(JSON.parse(JSON.stringify(storeMemory(this.memory)))) : {};
    this.#jobs = this.#newJobs();
    this.#rounds = this.#newRounds({ ...this.identity, boot: `boot-${++this.#boots}` }, { ...EMPTY_MEMORY, ...kept });
    this.callsLeft = undefined;
    if (this.#config !== undefined) await this.apply(this.#config);
  }

  /** Looks and plans, and begins no step. */
  async look(): Promise<Plan> {
    return (await this.#look()).plan;
  }

  /** One round. Throws `Killed` when the worker is killed in it. */
  async round(): Promise<Plan> {
    const round = await this.#look();
    this.#isWorking = true;
    try {
      this.#rounds.begin(round);
      await this.#quiet();
      this.watch?.();
    } catch (error) {
      if (!isNebulaError(error, "unavailable")) throw error;
    } finally {
      this.#isWorking = false;
    }
    if (this.#isKilled) throw new Killed();
    return round.plan;
  }

  async #look(): Promise<PlannedRound> {
    assert.ok(this.#config, "no config yet");
    const engine = await this.runtime.info(signal);
    return await this.#throughTime(this.#rounds.look(engine, new Map(), signal));
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
    throw new Error(`no end after ${mostRounds} rounds: ${this.shown.join(", ")}; next: ${(await this.look()).steps.map(keyOf).join(", ")}`);
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
    const { owned } = classify(own, this.identity, undefined, this.memory.adopted);
    if (!owned.some(({ container }) => container.id === target)) this.violations.push(`${method} of ${target}`);
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

  #newRounds(identity: WorkerIdentity, memory: Memory): Rounds {
    return new Rounds({ runtime: this.runtime, clock: this.clock, jobs: this.#jobs, identity, deviceId: "device-1", memory });
  }

  #newJobs(): JobBoard {
    return new JobBoard({ runtime: this.runtime, clock: this.clock, login: async () => undefined, onEnd: () => {} });
  }
}

export class Killed extends Error {}
