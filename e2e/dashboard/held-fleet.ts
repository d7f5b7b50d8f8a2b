import { systemClock } from "../../common/clock/system-clock.ts";
import { mapLimited } from "../../common/map-limited.ts";
import type { RunningWorker } from "../../worker/main.ts";
import { SimulatedRuntime } from "../../worker/runtime/simulated/simulated.ts";
import { type InProcessOptions, startSimulated } from "../harness/in-process-worker.ts";

/** Workers that start at a time. */
const AT_ONCE = 50;
const PULL_MS = 300;
/** A pull that takes this long takes until it is released. */
const HELD_MS = 1_234_567;

export type HeldFleetOptions = Readonly<{ server: InProcessOptions["server"]; deviceGroup: string; devices: number }>;

/**
 * Devices on simulated engines, GROUP-1 and so on, of a change that stops in its middle: the second half of them pulls an image whose tag begins with `held` until
 * it is released, and one of ten of the others can't pull one whose tag ends with `broken`.
 */
export class HeldFleet implements AsyncDisposable {
  #release = Promise.withResolvers<void>();
  #workers: readonly RunningWorker[] = [];

  static async start({ server, deviceGroup, devices }: HeldFleetOptions): Promise<HeldFleet> {
    const fleet = new HeldFleet();
    const numbers = Array.from({ length: devices }, (_, index) => index + 1);
    fleet.#workers = await mapLimited(numbers, AT_ONCE, (number) =>
      startSimulated({ server, deviceGroup, deviceId: `${deviceGroup}-${number}` }, fleet.#engine(number, number > devices / 2)),
    );
    return fleet;
  }

  /** Has all pulls of now, and later ones until `hold`, done. */
  release(): void {
    this.#release.resolve();
  }

  hold(): void {
    this.#release = Promise.withResolvers();
  }

  #engine(number: number, isHeld: boolean): SimulatedRuntime {
    const sleep = async (ms: number, signal: AbortSignal) => {
      if (ms !== HELD_MS) return systemClock.sleep(ms, signal);
      const over = new AbortController();
      await Promise.race([this.#release.promise, systemClock.sleep(HELD_MS, AbortSignal.any([signal, over.signal]))]).finally(() => over.abort());
    };
    return new SimulatedRuntime({
      clock: { ...systemClock, sleep },
      behaviour(reference) {
        const tag = reference.slice(reference.lastIndexOf(":") + 1);
        if (!isHeld && tag.endsWith("broken") && number % 10 === 0) return { pull: { kind: "fails", message: "no space left on device" } };
        return { pull: { kind: "ok", afterMs: isHeld && tag.startsWith("held") ? HELD_MS : PULL_MS * Math.random() } };
      },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.release();
    await mapLimited(this.#workers, AT_ONCE, (worker) => worker.stop());
  }
}
