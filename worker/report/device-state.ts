import type { ProblemCode } from "../../common/insight/problems.ts";
import type { Report } from "../../gen/nebula/v1/report_pb.ts";
import type { Now } from "../observed/observed.ts";
import { appUnit, cronJobUnit } from "../observed/owned.ts";
import type { Applied, PruneMark } from "../plan/memory/memory.ts";
import type { AppState, CronJobState, DeviceProblem, DeviceStates } from "../plan/states.ts";
import type { Look } from "../reconcile/reconcile.ts";
import type { ContainerStats, EngineInfo } from "../runtime/container-runtime.ts";
import { composeReport } from "./compose.ts";

export type DeviceFacts = Readonly<{
  deviceId: string;
  deviceGroup: string;
  boot: string;
  instance: string;
  /** Milliseconds since 1970. */
  startedAt: number;
}>;

/** By unit: what it stands at, and since when, milliseconds of the monotonic clock. */
type Standing = ReadonlyMap<string, Readonly<{ at: string; since: number }>>;

/**
 * The knowledge of this worker about its device, as a report is made of it.
 * 1. States are always those of the newest look; while the engine is away those of the last look before that stay.
 * 2. An etag is only called applied once a look was about its config.
 */
export class DeviceState {
  readonly #facts: DeviceFacts;
  readonly #problems = new Map<ProblemCode, string>();
  #look: Look | undefined;
  #engine: EngineInfo | undefined;
  #states: DeviceStates | undefined;
  #imageBytes: ReadonlyMap<string, number> = new Map();
  #applied: Applied | undefined;
  #standing: Standing = new Map();
  #repairs = 0;
  #pruned: PruneMark | undefined;
  #etag = "";

  constructor(facts: DeviceFacts) {
    this.#facts = facts;
  }

  /** @param monotonic when it was looked, milliseconds of the monotonic clock */
  see(look: Look, monotonic: number): void {
    this.#look = look;
    if (look.kind === "seen") {
      this.#engine = look.observed.engine;
      this.#states = look.plan.states; // 1
      this.#imageBytes = new Map(look.observed.images.map(({ id, sizeBytes }) => [id, sizeBytes]));
      this.#standing = standingAfter(this.#standing, look.plan.states, monotonic);
      this.#applied = look.applied;
      this.#repairs = look.repairs;
      this.setProblem("engine_unreachable", undefined);
    } else {
      this.setProblem("engine_unreachable", look.reason);
    }
  }

  /** The newest config that came. */
  configCame(etag: string): void {
    this.#etag = etag;
  }

  prunedUpTo(pruned: PruneMark | undefined): void {
    this.#pruned = pruned;
  }

  /** Something that is wrong, or (undefined) is not any more. */
  setProblem(code: ProblemCode, message: string | undefined): void {
    if (message === undefined) this.#problems.delete(code);
    else this.#problems.set(code, message);
  }

  /** The engine, as it presented itself last. */
  get engine(): EngineInfo | undefined {
    return this.#engine;
  }

  /** Ids of the containers that the newest report names. */
  get containerIds(): readonly string[] {
    return [...(this.#states?.apps ?? []), ...(this.#states?.cronJobs ?? [])].flatMap(({ containers }) =>
      containers.filter(({ container }) => container.phase === "running").map(({ container }) => container.id),
    );
  }

  /** undefined: nothing is known yet. */
  compose(now: Now, stats: ReadonlyMap<string, ContainerStats> = new Map()): Report | undefined {
    if (this.#look === undefined) return undefined;
    const problems = [...this.#problems].map(([code, message]): DeviceProblem => ({ code, message }));
    return composeReport({
      ...this.#facts,
      etag: this.#etag,
      isPlanned: this.#look.etag === this.#etag, // 2
      desired: this.#look.desired,
      states: this.#states,
      applied: this.#applied?.revisions ?? new Map(),
      since: new Map([...this.#standing].map(([unit, { since }]) => [unit, since])),
      repairs: this.#repairs,
      pruned: this.#pruned,
      problems,
      stats,
      imageBytes: this.#imageBytes,
      now,
    });
  }
}

/** Since when each target has stood as it does: with this revision, in this state, for this cause. */
function standingAfter(before: Standing, { apps, cronJobs }: DeviceStates, monotonic: number): Standing {
  const entry = (unit: string, { revision, state }: AppState | CronJobState) => {
    const at = `${revision} ${state.kind} ${state.kind === "applied" ? "" : (state.code ?? "")}`;
    const known = before.get(unit);
    return [unit, known?.at === at ? known : { at, since: monotonic }] as const;
  };
  return new Map([...apps.map((app) => entry(appUnit(app.name), app)), ...cronJobs.map((job) => entry(cronJobUnit(job.name), job))]);
}
