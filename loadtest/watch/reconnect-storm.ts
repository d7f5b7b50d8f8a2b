import { setTimeout as delay } from "node:timers/promises";
import { Fleet } from "../client/fleet.ts";
import type { FleetTarget } from "../client/fleet-protocol.ts";
import type { ProcessFigures } from "../measure/process-figures.ts";
import { median } from "../measure/quantiles.ts";
import { alignedRows } from "../measure/table.ts";
import type { Processors } from "../processes/processors.ts";
import { type BenchManager, openManager } from "../servers/open-manager.ts";
import { createPushedApp } from "../subjects/pushed-app.ts";
import { idle } from "./subject-run.ts";

export type StormOptions = Readonly<{
  devices: number;
  /** Rounds, each with managers and fleets of its own, of which the figures are medians. */
  rounds: number;
  /** How long the server has to be idle before its figures are read, milliseconds. */
  settleMs: number;
  serverProcessors: Processors;
  fleetProcessors: Processors;
  signal: AbortSignal;
  say: (line: string) => void;
}>;

/** The server's CPU per device, microseconds: of a device that connects to a shard that has just started, and of one that is dropped and comes back at once. */
export type StormFigures = Readonly<{ arriving: number; returning: number }>;

export type StormResult = Readonly<{ without: StormFigures; with: StormFigures }>;

const PAYLOAD_BYTES = 2048;
const SLICES = 4;
/** Storms of a round, in which the two managers take turns. */
const STORMS = 3;
const WAITING_AT_MOST_MS = 120_000;

/**
 * The same storms on two managers that differ in one thing: one writes presence. Later writes count too: the figures are read when nothing waits for
 * the store any more. The two take turns in short slices, so that both meet the same machine.
 */
export async function benchStorm(options: StormOptions): Promise<StormResult> {
  const rounds: StormResult[] = [];
  for (let round = 0; round < options.rounds; round++) {
    await using without = await StormRun.open(false, options);
    await using presence = await StormRun.open(true, options);
    const runs = round % 2 === 0 ? [without, presence] : [presence, without];
    for (let slice = 0; slice < SLICES; slice++) for (const run of runs) await run.arrive(slice);
    for (let storm = 0; storm < STORMS; storm++) for (const run of runs) await run.storm();
    rounds.push({ without: without.figures(), with: presence.figures() });
    const [a, b] = [without.figures(), presence.figures()];
    options.say(
      `round ${round + 1}: arriving ${a.arriving.toFixed(0)} and ${b.arriving.toFixed(0)} us, returning ${a.returning.toFixed(0)} and ${b.returning.toFixed(0)} us`,
    );
  }
  const medians = (which: keyof StormResult): StormFigures => ({
    arriving: median(rounds.map((each) => each[which].arriving)),
    returning: median(rounds.map((each) => each[which].returning)),
  });
  return { without: medians("without"), with: medians("with") };
}

/** The table of a result. */
export function stormLines({ without, with: presence }: StormResult): string[] {
  const row = (title: string, figure: keyof StormFigures) => {
    const [a, b] = [without[figure], presence[figure]];
    return [title, a.toFixed(0), b.toFixed(0), a === 0 ? "-" : (b / a).toFixed(2)];
  };
  return alignedRows([
    ["us CPU per device", "without presence", "with presence", "ratio"],
    row("a device that connects to a shard that has just started", "arriving"),
    row("a device that is dropped with all others, and comes back at once", "returning"),
  ]);
}

class StormRun implements AsyncDisposable {
  readonly #manager: BenchManager;
  readonly #fleet: Fleet;
  readonly #target: FleetTarget;
  readonly #options: StormOptions;
  #arrivingMs = 0;
  readonly #returningMs: number[] = [];

  private constructor(manager: BenchManager, fleet: Fleet, target: FleetTarget, options: StormOptions) {
    this.#manager = manager;
    this.#fleet = fleet;
    this.#target = target;
    this.#options = options;
  }

  static async open(presence: boolean, options: StormOptions): Promise<StormRun> {
    const { devices, serverProcessors, fleetProcessors, signal } = options;
    await using opening = new AsyncDisposableStack();
    const manager = opening.use(await openManager({ processors: serverProcessors, signal, presence }));
    const fleet = opening.use(new Fleet({ devices, processors: fleetProcessors, signal }));
    const app = await createPushedApp(manager, PAYLOAD_BYTES);
    const run = new StormRun(manager, fleet, await app.target(manager.port), options);
    opening.move();
    return run;
  }

  /** Connects a slice of the fleet, for the first time. */
  async arrive(slice: number): Promise<void> {
    const before = await this.#settled();
    await this.#fleet.connectSome(this.#target, slice, SLICES);
    this.#arrivingMs += (await this.#settled()).cpuMs - before.cpuMs;
  }

  /** Drops the whole fleet, which comes back at once. */
  async storm(): Promise<void> {
    const before = await this.#settled();
    await this.#fleet.reconnect(this.#options.devices);
    this.#returningMs.push((await this.#settled()).cpuMs - before.cpuMs);
  }

  figures(): StormFigures {
    const { devices } = this.#options;
    return { arriving: (this.#arrivingMs * 1000) / devices, returning: (median(this.#returningMs) * 1000) / devices };
  }

  /** Waits until nothing waits for the store and the manager is idle. */
  async #settled(): Promise<ProcessFigures> {
    const { signal } = this.#options;
    await this.#fleet.ping().catch((error: unknown) => {
      if (this.#arrivingMs > 0) throw error; // before the first slice there is no device yet
    });
    for (let waited = 0; waited < WAITING_AT_MOST_MS && (await this.#manager.presenceWaiting()) > 0; waited += 250)
      await delay(250, undefined, { signal });
    return idle(this.#manager, this.#options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#fleet[Symbol.asyncDispose]();
    await this.#manager[Symbol.asyncDispose]();
  }
}
