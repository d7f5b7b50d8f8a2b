import { Alarm } from "../../common/clock/alarm.ts";
import type { Clock } from "../../common/clock/clock.ts";
import type { Desired } from "../../common/desired/desired.ts";
import { assertNever } from "../../common/errors/assert-never.ts";
import { isNebulaError, messageOf } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import type { Config } from "../../gen/nebula/v1/config_pb.ts";
import { FailureCode } from "../../gen/nebula/v1/report_pb.ts";
import { LABEL, ORCHESTRATOR } from "../observed/labels.ts";
import type { Now, Observed, WorkerIdentity } from "../observed/observed.ts";
import { type Applied, EMPTY_MEMORY, type KeptMemory, type Memory } from "../plan/memory/memory.ts";
import { imagesRefused, rememberNewLogin } from "../plan/memory/retry.ts";
import type { Plan } from "../plan/plan.ts";
import { isDoneAtOnce, keyOf, type Step, type StepOutcome } from "../plan/step.ts";
import { LoginWatch } from "../registry/login-watch.ts";
import type { ContainerRuntime, EngineInfo, RegistryLogin, RuntimeEvent } from "../runtime/container-runtime.ts";
import { EventFeed } from "./event-feed.ts";
import { JobBoard } from "./jobs.ts";
import { Pace } from "./pace.ts";
import { type PlannedRound, Rounds } from "./round.ts";
import { runTogether } from "./run-together.ts";

/** A look even when nothing happened: events can be lost. */
const NET_MS = 5 * 60_000;
/** Without events: a look is all there is. */
const POLL_MS = 30_000;
/** How often the wall clock, which schedules follow, is checked for a jump. */
const JUMP_CHECK_MS = 30_000;
const JUMP_MS = 1000;
const FIRST_ENGINE_WAIT_MS = 500;
const LONGEST_ENGINE_WAIT_MS = 15_000;
/** Looks for which there was no reason but somebody else's events; more are spaced out. */
const LOOKS = { burst: 20, everyMs: 500 };
/** Rounds of work; more mean that something undoes what is done. */
const WORKS = { burst: 200, everyMs: 1000 };

const KEPT = ["pulled", "adopted", "volumes", "pruned", "applied", "imageHistory", "goneHours"] as const satisfies readonly (keyof KeptMemory)[];

/** The result of a look, or why the engine is unreachable. `etag` is that of the config which `desired` was derived from. */
export type Look = Readonly<{ desired: Desired | undefined; etag: string }> &
  Readonly<
    { kind: "seen"; observed: Observed; plan: Plan; applied: Applied | undefined; repairs: number } | { kind: "engine_unreachable"; reason: string }
  >;

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
 * Makes the engine match the desired state: observe, plan, execute, until a plan has no steps; then waits for a reason to
 * look again. The invariants are those of the worker's design:
 * I1 Every plan is made from what the engine says now. An event, a new config or a timer is only a reason to look.
 * I10 A newer config ends the older round between two steps.
 * I11 A round never waits for a job. The end of a job is a reason to look; its outcome is taken before that look.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #rounds: Rounds;
  readonly #jobs: JobBoard;
  readonly #logins: LoginWatch;
  readonly #alarm: Alarm;
  readonly #events: EventFeed;
  /** Why the engine can't be reached; undefined: it can. */
  #unreachable: string | undefined;
  #kept: KeptMemory;
  /** By container id: with which code it ended last. */
  readonly #exits = new Map<string, number>();
  #isStandingBy = false;
  #hasLoggedAdopted = false;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    const memory = { ...EMPTY_MEMORY, ...options.kept };
    this.#kept = memory;
    this.#alarm = new Alarm(options.clock);
    this.#events = new EventFeed({ ...options, onEvent: (event) => this.#onEvent(event), onRefused: () => this.#alarm.ring() });
    this.#logins = new LoginWatch({
      ...options,
      refused: () => imagesRefused(this.#rounds.memory, FailureCode.PULL_LOGIN),
      onChanged: (image) => {
        this.#rounds.remember(rememberNewLogin(this.#rounds.memory, image));
        this.#alarm.ring();
      },
    });
    this.#jobs = new JobBoard({ ...options, login: this.#logins.login, onEnd: () => this.#alarm.ring() });
    this.#rounds = new Rounds({
      ...options,
      jobs: this.#jobs,
      memory,
      onOutcome: (step, outcome) => this.#logOutcome(step, outcome),
      onMemory: (changed) => this.#keep(changed),
    });
  }

  /** Sets the desired state from now on: a merged config, and the etag under which it came. */
  setConfig(config: Config, etag: string): void {
    this.#rounds.setConfig(config, etag);
    if (this.#unreachable !== undefined) this.#reportUnreachable(this.#unreachable);
    this.#alarm.ring();
  }

  /** A reason to look again. */
  wake(): void {
    this.#alarm.ring();
  }

  /** Works until the signal is aborted; containers keep running. */
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
        this.#rounds.engineChanged();
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
    this.#reportUnreachable(reason);
  }

  #reportUnreachable(reason: string): void {
    this.#options.onLook({ kind: "engine_unreachable", desired: this.#rounds.desired, etag: this.#rounds.etag, reason });
  }

  /** Rounds while the engine is there; rejects when it goes away. */
  async #followEngine(engine: EngineInfo, signal: AbortSignal): Promise<void> {
    this.#jobs.reconnected();
    const leaving = new AbortController();
    const end = AbortSignal.any([signal, leaving.signal]);
    const following = this.#events.follow(end).then(() => leaving.abort());
    try {
      const looks = new Pace(LOOKS);
      const works = new Pace(WORKS);
      while (!end.aborted) {
        this.#alarm.reset();
        const { plan: planned, hasEnded } = await this.#round(engine, signal);
        if (!planned.steps.some(isDoneAtOnce)) await this.#pause(planned.wakeAt, end); // I11
        const pace = planned.steps.length > 0 ? works : hasEnded ? undefined : looks;
        const waitMs = pace?.take(this.#options.clock.monotonic()) ?? 0;
        if (waitMs > 0) await this.#slowDown(planned, waitMs, end);
      }
    } catch (error) {
      if (signal.aborted || !end.aborted) throw error;
    } finally {
      leaving.abort();
      await following;
    }
  }

  async #slowDown(planned: Plan, waitMs: number, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    const steps = planned.steps.map(keyOf).slice(0, 5);
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
        if (action === "disconnect") return containerId !== undefined && this.#rounds.memory.seenIds?.has(containerId) === true;
        return action === "destroy" || action === "remove" || (action === "create" && this.#isStandingBy);
      case "image":
        return action === "delete" && imagesRefused(this.#rounds.memory, FailureCode.NO_SPACE).length > 0; // there may be room now
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
    const own = this.#options.identity.instance;
    const { [LABEL.orchestrator]: orchestrator, [LABEL.instance]: instance = own } = labels;
    return type === "container" && orchestrator === ORCHESTRATOR && instance === own;
  }

  async #round(engine: EngineInfo, signal: AbortSignal): Promise<PlannedRound> {
    const looked = await this.#rounds.look(engine, this.#exits, signal);
    const round = { ...looked, plan: withEventsProblem(looked.plan, this.#events.refusal) };
    const { desired, etag, observed, plan } = round;
    this.#forgetExits(observed);
    if (desired !== undefined) this.#logAdopted(observed);
    this.#isStandingBy = plan.states.apps.some(({ state }) => state.kind === "failed");
    const { applied, repairs } = this.#rounds.memory;
    this.#options.onLook({ kind: "seen", desired, etag, observed, plan, applied, repairs });
    this.#rounds.begin(round);
    return round;
  }

  /** Says once, at the first look with a config, how many containers of the original are there. */
  #logAdopted({ classified: { owned } }: Observed): void {
    if (this.#hasLoggedAdopted) return;
    this.#hasLoggedAdopted = true;
    const adopted = owned.filter(({ original }) => original).length;
    if (adopted > 0) this.#options.log.info({ adopted }, "containers of the original are owned by this worker from now on");
  }

  #forgetExits({ containers }: Observed): void {
    const ids = new Set(containers.map(({ id }) => id));
    for (const id of this.#exits.keys()) if (!ids.has(id)) this.#exits.delete(id);
  }

  #logOutcome(step: Step, outcome: StepOutcome): void {
    const { log } = this.#options;
    const about = { step: step.kind, unit: step.unit, ...("containerId" in step && { container: step.containerId.slice(0, 12) }) };
    if (outcome.kind === "failed") log.warn({ ...about, reason: outcome.reason }, "step failed");
    else log.info(about, outcome.kind === "done" ? "step done" : "step aborted");
  }

  #keep({ pulled, adopted, volumes, pruned, applied, imageHistory, goneHours }: Memory): void {
    const kept: KeptMemory = { pulled, adopted, volumes, pruned, applied, imageHistory, goneHours };
    const before = this.#kept;
    this.#kept = kept;
    if (KEPT.some((key) => before[key] !== kept[key])) this.#options.onKept(kept);
  }

  /** Until there is a reason to look, the plan's time comes, or the net's; a jump of the wall clock is a reason where schedules are followed. */
  async #pause(wakeAt: number | undefined, signal: AbortSignal): Promise<void> {
    const started = this.#now();
    const netMs = this.#events.refusal === undefined ? NET_MS : POLL_MS;
    const end = Math.min(started.monotonic + netMs, wakeAt ?? Number.POSITIVE_INFINITY);
    const mostMs = (this.#rounds.desired?.cronJobs.length ?? 0) > 0 ? JUMP_CHECK_MS : NET_MS;
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
