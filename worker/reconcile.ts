import type { Clock } from "../common/clock/clock.ts";
import { assertNever } from "../common/errors/assert-never.ts";
import { isNebulaError, messageOf } from "../common/errors/nebula-error.ts";
import type { Log } from "../common/log/log.ts";
import type { Config } from "../gen/nebula/v1/config_pb.ts";
import { Alarm } from "./alarm.ts";
import { desiredOf } from "./desired.ts";
import { EventFeed } from "./event-feed.ts";
import { beginRound } from "./execute.ts";
import { JobBoard } from "./jobs.ts";
import { LABEL, ORCHESTRATOR } from "./labels.ts";
import { type Applied, EMPTY_MEMORY, type KeptMemory, type Memory, uninspectable } from "./memory.ts";
import { type Desired, following, type Now, type Observed, type WorkerIdentity } from "./model.ts";
import { Observer } from "./observe.ts";
import { Pace } from "./pace.ts";
import { type Plan, plan, planWithoutConfig } from "./plan.ts";
import { LoginWatch } from "./registry-login-watch.ts";
import { imagesRefused, rememberDesired, rememberNewLogin, rememberObserved, rememberOutcome } from "./remember.ts";
import { runTogether } from "./run-together.ts";
import type { ContainerRuntime, EngineInfo, RegistryLogin, RuntimeEvent } from "./runtime/container-runtime.ts";
import { appliedAfter } from "./status.ts";
import { isDoneAtOnce, type Step, type StepOutcome } from "./step.ts";

/** A look even when nothing happened: events can be lost. */
const NET_MS = 5 * 60_000;
/** Without events: a look is all there is. */
const POLL_MS = 30_000;
/** Schedules follow the wall clock: so often it is checked for a jump. */
const JUMP_CHECK_MS = 30_000;
const JUMP_MS = 1000;
const FIRST_ENGINE_WAIT_MS = 500;
const LONGEST_ENGINE_WAIT_MS = 15_000;
/** Looks for which there was no reason but somebody else's events; more are spaced out. */
const LOOKS = { burst: 20, everyMs: 500 };
/** Rounds of work; more mean that something undoes what is done. */
const WORKS = { burst: 200, everyMs: 1000 };

const KEPT = ["pulled", "adopted", "pruned", "applied", "imageHistory", "goneHours"] as const satisfies readonly (keyof KeptMemory)[];

/** What the reconciler knows after a look; `engine` undefined: the engine can't be reached, for this reason. */
export type Look = Readonly<{ desired: Desired | undefined /** Of the config that `desired` was worked out from. */; etag: string }> &
  Readonly<{ kind: "seen"; observed: Observed; plan: Plan; applied: Applied | undefined } | { kind: "engine_unreachable"; reason: string }>;

export type ReconcilerOptions = Readonly<{
  runtime: ContainerRuntime;
  clock: Clock;
  log: Log;
  identity: WorkerIdentity;
  deviceId: string;
  login: (image: string) => Promise<RegistryLogin | undefined>;
  kept: KeptMemory | undefined;
  /** Whether the config on the disk may be an older one, which names other images: none is removed meanwhile. */
  isSaving?: () => boolean;
  onLook: (look: Look) => void;
  /** Called when what outlives the worker has changed. */
  onKept: (kept: KeptMemory) => void;
}>;

/**
 * Makes the engine as it is wanted: observe, plan, execute, again until there are no steps; then waits for a reason to look again.
 * I1 the plan always comes from what the engine says now; a reason to look is never more than that.
 * I2 a newer config ends the older round between two steps.
 * I3 a round only begins jobs, and waits for none: the end of a job is a reason to look.
 * I4 outcomes of jobs are taken before a look, so that the plan never knows of an end whose effect it has not seen.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #observer: Observer;
  readonly #jobs: JobBoard;
  readonly #logins: LoginWatch;
  readonly #alarm: Alarm;
  readonly #events: EventFeed;
  #identity: WorkerIdentity;
  #config: Readonly<{ config: Config; etag: string }> | undefined;
  #desired: Desired | undefined;
  /** Why the engine can't be reached; undefined: it can. */
  #unreachable: string | undefined;
  #memory: Memory;
  /** By container id: with which code it ended last. */
  readonly #exits = new Map<string, number>();
  #isStandingBy = false;
  #hasToldAdopted = false;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#identity = options.identity;
    this.#memory = { ...EMPTY_MEMORY, ...options.kept };
    this.#observer = new Observer(options);
    this.#alarm = new Alarm(options.clock);
    this.#events = new EventFeed({ ...options, onEvent: (event) => this.#onEvent(event), onRefused: () => this.#alarm.ring() });
    this.#logins = new LoginWatch({
      ...options,
      refused: () => imagesRefused(this.#memory, "login"),
      onChanged: (image) => {
        this.#remember(rememberNewLogin(this.#memory, image));
        this.#alarm.ring();
      },
    });
    this.#jobs = new JobBoard({ ...options, login: this.#logins.login, onEnd: () => this.#alarm.ring() });
  }

  /** What is wanted from now on: a merged config, and the etag under which it came. */
  setConfig(config: Config, etag: string): void {
    this.#config = { config, etag };
    if (config.cluster !== undefined) this.#identity = following(this.#identity, config.cluster.id);
    this.#desired = undefined; // I2
    if (this.#unreachable !== undefined) this.#tellUnreachable(this.#unreachable);
    this.#alarm.ring();
  }

  /** A reason to look again. */
  wake(): void {
    this.#alarm.ring();
  }

  /** Works until the signal is aborted; containers go on running. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      await runTogether(signal, (whole) => ({ rounds: this.#follow(whole), logins: this.#logins.run(whole) }));
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      await this.#jobs[Symbol.asyncDispose]();
    }
  }

  async #follow(signal: AbortSignal): Promise<never> {
    let waitMs = FIRST_ENGINE_WAIT_MS;
    for (;;) {
      try {
        const engine = await this.#options.runtime.info(signal);
        this.#unreachable = undefined;
        this.#desired = undefined; // its cores and memory decide counts
        waitMs = FIRST_ENGINE_WAIT_MS;
        await this.#followEngine(engine, signal);
      } catch (error) {
        signal.throwIfAborted();
        this.#engineLost(error);
      }
      await this.#options.clock.sleep(waitMs, signal);
      waitMs = Math.min(waitMs * 2, LONGEST_ENGINE_WAIT_MS);
    }
  }

  #engineLost(error: unknown): void {
    const { log } = this.#options;
    const reason = messageOf(error);
    if (isNebulaError(error, "unavailable")) log.warn({ reason }, "the engine can't be reached");
    else log.error({ err: error }, "looking at the engine failed");
    this.#unreachable = reason;
    this.#tellUnreachable(reason);
  }

  #tellUnreachable(reason: string): void {
    this.#options.onLook({ kind: "engine_unreachable", desired: this.#desired, etag: this.#config?.etag ?? "", reason });
  }

  /** Rounds while the engine is there; rejects when it goes away. */
  async #followEngine(engine: EngineInfo, signal: AbortSignal): Promise<void> {
    this.#jobs.reconnected();
    const end = new AbortController();
    const onAbort = () => end.abort(signal.reason);
    signal.addEventListener("abort", onAbort);
    const following = this.#events.follow(end.signal).then(() => end.abort());
    try {
      const looks = new Pace(LOOKS);
      const works = new Pace(WORKS);
      while (!end.signal.aborted) {
        this.#alarm.reset();
        const { planned, hasEnded } = await this.#round(engine, signal);
        if (!planned.steps.some(isDoneAtOnce)) await this.#pause(planned.wakeAt, end.signal); // I3
        const pace = planned.steps.length > 0 ? works : hasEnded ? undefined : looks;
        const waitMs = pace?.take(this.#options.clock.monotonic()) ?? 0;
        if (waitMs > 0) await this.#slowDown(planned, waitMs, end.signal);
      }
    } catch (error) {
      if (signal.aborted || !end.signal.aborted) throw error;
    } finally {
      signal.removeEventListener("abort", onAbort);
      end.abort();
      await following;
    }
  }

  async #slowDown(planned: Plan, waitMs: number, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    const steps = planned.steps.map(({ key }) => key).slice(0, 5);
    if (steps.length > 0) log.warn({ steps }, "what is done does not hold; going on slowly");
    await clock.sleep(waitMs, signal);
  }

  #onEvent(event: RuntimeEvent): void {
    if (event.exitCode !== undefined && this.#isOurs(event)) this.#exits.set(event.id, event.exitCode);
    if (this.#isReason(event)) this.#alarm.ring();
  }

  /** Whether an event may have to do with this worker: on a busy engine most have not. */
  #isReason(event: RuntimeEvent): boolean {
    const { type, action, containerId } = event;
    switch (type) {
      case "container":
        if (this.#isOwnWork(event)) return false;
        // One of somebody else that ends may free a port or a name that something waits for.
        return this.#isOurs(event) || (this.#isStandingBy && (action === "die" || action === "destroy" || action === "rename"));
      case "network":
        if (action === "disconnect") return containerId !== undefined && this.#memory.seenIds?.has(containerId) === true;
        return action === "destroy" || action === "remove" || (action === "create" && this.#isStandingBy);
      case "image":
        return action === "delete" && imagesRefused(this.#memory, "no_space").length > 0; // there may be room now
      default:
        return assertNever(type);
    }
  }

  /** Of what a job does: its end is the reason to look. */
  #isOwnWork({ action, id, labels }: RuntimeEvent): boolean {
    return this.#jobs.isAbout(id) || (action === "create" && labels[LABEL.boot] === this.#options.identity.boot);
  }

  /** By its labels: of this instance, or the original's. */
  #isOurs({ type, labels }: RuntimeEvent): boolean {
    const { [LABEL.orchestrator]: orchestrator, [LABEL.instance]: instance = this.#identity.instance } = labels;
    return type === "container" && orchestrator === ORCHESTRATOR && instance === this.#identity.instance;
  }

  async #round(engine: EngineInfo, signal: AbortSignal): Promise<{ planned: Plan; hasEnded: boolean }> {
    const { onLook, deviceId } = this.#options;
    const identity = this.#identity;
    const ended = this.#jobs.takeEnded();
    for (const { step, outcome } of ended) this.#outcome(step, outcome); // I4
    const jobs = this.#jobs.snapshot();
    const known = { adopted: this.#memory.adopted, unknown: uninspectable(this.#memory), exits: this.#exits };
    const began = this.#options.clock.monotonic();
    const observed = await this.#observer.look({ identity, engine, jobs, ...known }, signal); // I1
    this.#forgetExits(observed);
    const now = this.#now();
    if (this.#desired === undefined && this.#config !== undefined) {
      this.#desired = desiredOf(this.#config.config, { deviceId, engine });
      this.#memory = rememberDesired(this.#memory, this.#desired, now);
    }
    const desired = this.#desired;
    const etag = this.#config?.etag ?? "";
    this.#remember(rememberObserved(this.#memory, desired, observed, identity, now, now.monotonic - began));
    if (desired !== undefined) this.#tellAdopted(observed);
    const context = { now, memory: this.#memory, identity };
    const planned = withEventsProblem(
      desired === undefined ? planWithoutConfig(observed, context) : plan(desired, observed, context),
      this.#events.refusal,
    );
    this.#isStandingBy = planned.states.apps.some(({ state }) => state.kind === "failed");
    if (desired !== undefined) this.#remember({ ...this.#memory, applied: appliedAfter(this.#memory.applied, planned.states, desired.cluster) });
    onLook({ kind: "seen", desired, etag, observed, plan: planned, applied: this.#memory.applied });
    beginRound(planned.steps, {
      jobs: this.#jobs,
      isOver: () => this.#desired !== desired, // I2
      onOutcome: (step, outcome) => this.#outcome(step, outcome),
    });
    return { planned, hasEnded: ended.length > 0 };
  }

  /** Says once, at the first look with a config, how many containers of the original are there. */
  #tellAdopted({ classified: { owned } }: Observed): void {
    if (this.#hasToldAdopted) return;
    this.#hasToldAdopted = true;
    const adopted = owned.filter(({ original }) => original).length;
    if (adopted > 0) this.#options.log.info({ adopted }, "containers of the original are owned by this worker from now on");
  }

  #forgetExits({ containers }: Observed): void {
    const ids = new Set(containers.map(({ id }) => id));
    for (const id of this.#exits.keys()) if (!ids.has(id)) this.#exits.delete(id);
  }

  #outcome(step: Step, outcome: StepOutcome): void {
    const { log } = this.#options;
    const about = { step: step.kind, unit: step.unit, ...("containerId" in step && { container: step.containerId.slice(0, 12) }) };
    if (outcome.kind === "failed") log.warn({ ...about, reason: outcome.reason }, "step failed");
    else log.info(about, outcome.kind === "done" ? "step done" : "step aborted");
    this.#remember(rememberOutcome(this.#memory, step, outcome, this.#now()));
  }

  #remember(memory: Memory): void {
    const before = this.#memory;
    this.#memory = memory;
    const { pulled, adopted, pruned, applied, imageHistory, goneHours } = memory;
    const kept: KeptMemory = { pulled, adopted, pruned, applied, imageHistory, goneHours };
    if (KEPT.some((key) => before[key] !== kept[key])) this.#options.onKept(kept);
  }

  /** Until there is a reason to look, the plan's time comes, or the net's; a jump of the wall clock is a reason where schedules are followed. */
  async #pause(wakeAt: number | undefined, signal: AbortSignal): Promise<void> {
    const started = this.#now();
    const netMs = this.#events.refusal === undefined ? NET_MS : POLL_MS;
    const end = Math.min(started.monotonic + netMs, wakeAt ?? Number.POSITIVE_INFINITY);
    const mostMs = (this.#desired?.cronJobs.length ?? 0) > 0 ? JUMP_CHECK_MS : NET_MS;
    for (let now = started; now.monotonic < end; now = this.#now()) {
      const drift = now.wall - started.wall - (now.monotonic - started.monotonic);
      if (Math.abs(drift) >= JUMP_MS) return;
      if (await this.#alarm.wait(Math.min(end - now.monotonic, mostMs), signal)) return;
    }
  }

  #now(): Now {
    const { clock } = this.#options;
    return { wall: clock.now(), monotonic: clock.monotonic() };
  }
}

/** @param refusal why the engine's events are unavailable; undefined: they are not */
function withEventsProblem(planned: Plan, refusal: string | undefined): Plan {
  if (refusal === undefined) return planned;
  const message = `the engine's events can't be read (${refusal}); the worker looks every ${POLL_MS / 1000} s instead`;
  return { ...planned, states: { ...planned.states, problems: [...planned.states.problems, { code: "events_unavailable", message }] } };
}
