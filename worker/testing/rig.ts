import { strict as assert } from "node:assert";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { type Log, silentLog } from "../../common/log/log.ts";
import { type ConfigInit, configOf } from "../../common/testing/config-builder.ts";
import { restoreMemory, storeMemory } from "../data/stored-memory.ts";
import { LABEL } from "../observed/labels.ts";
import type { WorkerIdentity } from "../observed/observed.ts";
import type { KeptMemory } from "../plan/memory/memory.ts";
import { type Look, Reconciler } from "../reconcile/reconcile.ts";
import type { ObservedContainer, RegistryLogin } from "../runtime/container-runtime.ts";
import { type RuntimeCall, type SimulatedOptions, SimulatedRuntime } from "../runtime/simulated/simulated.ts";

export type RigOptions = Partial<Omit<SimulatedOptions, "clock">> & {
  identity?: Partial<WorkerIdentity>;
  log?: Log;
  /** Another rig whose engine and clock this one uses. */
  sharedWith?: Rig;
  bootPrefix?: string;
  /** Whether a config is being written to the disk. */
  isSaving?: () => boolean;
  /** The device's login for an image's registry; none unless given. */
  login?: (image: string) => Promise<RegistryLogin | undefined>;
};

/** A worker's core on a simulated engine, with a clock that the test moves. */
export class Rig implements AsyncDisposable {
  readonly clock: ManualClock;
  readonly runtime: SimulatedRuntime;
  readonly calls: RuntimeCall[] = [];
  readonly #options: RigOptions;
  #worker: { reconciler: Reconciler; abort: AbortController; done: Promise<void> } | undefined;
  #boots = 0;
  /** Clusters that the data folder has followed; a start without what was kept forgets them. */
  followed: ReadonlySet<string> = new Set();
  kept: KeptMemory | undefined;
  look: Look | undefined;

  constructor(options: RigOptions = {}) {
    this.#options = options;
    this.clock = options.sharedWith?.clock ?? new ManualClock(Date.UTC(2026, 0, 1, 12, 0, 30));
    this.runtime = options.sharedWith?.runtime ?? new SimulatedRuntime({ images: ["shop:1", "shop:2"], ...options, clock: this.clock });
    this.runtime.before ??= (call) => {
      this.calls.push(call);
    };
  }

  /** Starts a worker; one that runs is killed first: it does nothing more, and its memory is lost but for what it kept. */
  async start(init?: ConfigInit, { keep = true } = {}): Promise<void> {
    await this.kill();
    if (!keep) this.followed = new Set();
    const abort = new AbortController();
    const reconciler = new Reconciler({
      runtime: this.runtime,
      clock: this.clock,
      log: this.#options.log ?? silentLog,
      identity: {
        instance: "main",
        boot: `${this.#options.bootPrefix ?? "boot"}-${++this.#boots}`,
        adopt: true,
        keepImages: 1,
        maxRestartWaitMs: 0,
        followed: this.followed,
        ...this.#options.identity,
      },
      deviceId: "device-1",
      login: this.#options.login ?? (async () => undefined),
      kept: keep && this.kept !== undefined ? restoreMemory(JSON.parse(JSON.stringify(storeMemory(this.kept)))) : undefined,
      isSaving: this.#options.isSaving ?? (() => false),
      onLook: (look) => {
        this.look = look;
      },
      onKept: (kept) => {
        this.kept = kept;
      },
    });
    if (init !== undefined) this.#follow(reconciler, init);
    this.#worker = { reconciler, abort, done: reconciler.run(abort.signal) };
    await this.settle();
  }

  async apply(init: ConfigInit): Promise<void> {
    if (this.#worker !== undefined) this.#follow(this.#worker.reconciler, init);
    await this.settle();
  }

  #follow(reconciler: Reconciler, init: ConfigInit): void {
    const config = configOf(init);
    if (config.cluster !== undefined) this.followed = new Set([...this.followed, config.cluster.id]);
    reconciler.setConfig(config, "");
  }

  /** Gives the worker a reason to look. */
  async wake(): Promise<void> {
    this.#worker?.reconciler.wake();
    await this.settle();
  }

  async kill(): Promise<void> {
    this.#worker?.abort.abort();
    await this.#worker?.done;
    this.#worker = undefined;
  }

  /** Lets everything happen that needs no time. */
  async settle(): Promise<void> {
    let before = -1;
    for (let turn = 0; turn < 200 && before !== this.calls.length; turn++) {
      before = this.calls.length;
      await this.clock.advance(0);
    }
  }

  /** Lets time pass, in steps in which everything happens that needs no time. */
  async pass(ms: number, stepMs = ms): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      await this.clock.advance(Math.min(stepMs, left));
      await this.settle();
    }
  }

  get containers(): readonly ObservedContainer[] {
    return this.runtime.snapshot();
  }

  /** Names and phases of all containers, sorted by name. */
  get shown(): string[] {
    return this.containers.map(({ name, phase }) => `${name} ${phase}`).sort();
  }

  named(name: string): ObservedContainer {
    const container = this.containers.find((candidate) => candidate.name === name);
    assert.ok(container, `there is no container ${name} among ${this.shown.join(", ")}`);
    return container;
  }

  /** State, step and reason of an app or cron_job. */
  stateOf(name: string): string {
    assert.ok(this.look?.kind === "seen", "no look yet");
    const { apps, cronJobs } = this.look.plan.states;
    const state = [...apps, ...cronJobs].find((target) => target.name === name)?.state;
    switch (state?.kind) {
      case undefined:
        return "unknown";
      case "applied":
        return "applied";
      case "working":
        return state.reason === undefined ? `working: ${state.step}` : `working: ${state.step}: ${state.reason}`;
      case "failed":
        return `failed: ${state.step}: ${state.reason}`;
    }
  }

  get problems(): string[] {
    return this.look?.kind === "seen" ? this.look.plan.states.problems.map(({ code }) => code) : ["engine_unreachable"];
  }

  methods(...methods: RuntimeCall["method"][]): RuntimeCall[] {
    return this.calls.filter(({ method }) => methods.includes(method));
  }

  revisionOf(name: string): string {
    return this.named(name).labels[LABEL.revision] ?? "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    if (this.#options.sharedWith === undefined) await this.runtime[Symbol.asyncDispose]();
  }
}
