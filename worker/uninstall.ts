import { stat } from "node:fs/promises";
import type { Clock } from "../common/clock/clock.ts";
import { NEBULA_NETWORK } from "../common/desired/container-spec.ts";
import { isNebulaError, messageOf, NebulaError } from "../common/errors/nebula-error.ts";
import { codeOf } from "../common/errors/system-reason.ts";
import type { Log } from "../common/log/log.ts";
import { mapLimited } from "../common/map-limited.ts";
import { DEFAULTS } from "../common/validation/normal-form.ts";
import { type LastGood, openLastGood } from "./data/data-folder.ts";
import { DataFolder } from "./data/folder-lock.ts";
import type { WorkerSettings } from "./main.ts";
import { Observer } from "./observed/observe.ts";
import { NO_JOBS, type WorkerIdentity } from "./observed/observed.ts";
import { isUp, type OfForeignCluster, type Owned } from "./observed/owned.ts";
import { EMPTY_MEMORY } from "./plan/memory/memory.ts";
import { isOfNebula } from "./plan/view.ts";
import type { ContainerRuntime, ObservedContainer, ObservedNetwork } from "./runtime/container-runtime.ts";
import { openRuntime } from "./runtime/open-runtime.ts";

/** Containers stopped and removed side by side. */
const AT_ONCE = 4;
/** How often is looked whether the containers are gone, and how long between two looks, milliseconds. */
const LOOKS = 30;
const LOOK_EVERY_MS = 1000;

export type UninstallOptions = Readonly<{
  settings: Pick<WorkerSettings, "instance" | "adopt" | "takeOver" | "workerDataDir" | "deviceId" | "runtime">;
  /** Whether the anonymous volumes of the containers are removed with them. */
  removesVolumes: boolean;
  clock: Clock;
  log: Log;
  signal: AbortSignal;
  /** An engine that is open already, in place of the one that the settings name; it is not closed here. */
  runtime?: ContainerRuntime;
}>;

/** The outcome of one part: `container web-1`, `network nebula`. `kept`: the part stays on purpose. */
export type PartOutcome = Readonly<{ part: string } & ({ kind: "removed" } | { kind: "kept" | "failed"; reason: string })>;

type Device = Readonly<{
  runtime: ContainerRuntime;
  /** undefined: it does not exist. */
  folder: DataFolder | undefined;
  lastGood: LastGood | undefined;
  identity: WorkerIdentity;
}>;

type Look = Readonly<{ mine: readonly Owned[]; foreignCluster: readonly OfForeignCluster[] }>;

/** The parts to remove, and those that stay. */
export type Inventory = Readonly<{
  /** Names. */
  containers: readonly string[];
  /** Containers of this instance of clusters that the data folder never followed: they stay. */
  foreignCluster: readonly OfForeignCluster[];
  hasNetwork: boolean;
  /** The path of the data folder; undefined: it does not exist. */
  dataFolder: string | undefined;
  /** undefined: not known. */
  deviceId: string | undefined;
}>;

/**
 * Takes a worker off its device.
 * U1 Removed is what the worker made: containers of its instance and of clusters that its data folder followed, those of
 *    the original that it adopted, and the network `nebula`; never the container that this process runs in.
 * U2 The data folder says which containers these are. So it is removed last, and stays as it is while anything else
 *    could not be removed: the next run resumes with it.
 * U3 A part that cannot be removed keeps no other part from being removed.
 * U4 Anonymous volumes are removed on request alone, named ones never. The engine removes some of them with their
 *    container; the others are noted in the data folder before their container is removed, so that a run that is
 *    killed in between leaves them to the next one.
 */
export class Uninstall implements AsyncDisposable {
  readonly inventory: Inventory;
  readonly #options: UninstallOptions;
  readonly #device: Device;
  readonly #stack: AsyncDisposableStack;
  /** By id: anonymous volumes that the engine does not remove with their container, and that container (U4). */
  readonly #volumes: Map<string, string>;

  private constructor(inventory: Inventory, options: UninstallOptions, device: Device, stack: AsyncDisposableStack) {
    this.inventory = inventory;
    this.#options = options;
    this.#device = device;
    this.#stack = stack;
    this.#volumes = new Map(device.lastGood?.loaded.memory?.volumes);
  }

  /**
   * Locks the data folder, if it exists, and looks what there is. Rejects with `failed_precondition` while a worker uses
   * the folder or when it cannot be locked, and with `unavailable` when the engine does not answer.
   */
  static async open(options: UninstallOptions): Promise<Uninstall> {
    const { settings, clock, log, signal } = options;
    await using opening = new AsyncDisposableStack();
    const folder = await lockedFolder(settings.workerDataDir, log);
    if (folder !== undefined) opening.use(folder);
    const lastGood = folder === undefined ? undefined : await openLastGood(folder.path, log);
    const runtime = options.runtime ?? opening.use(await openRuntime(settings.runtime, { clock, log }));
    const { instance, adopt, takeOver = [] } = settings;
    const followed = new Set([...takeOver, ...(lastGood?.loaded.config?.followed ?? [])]);
    const identity = { instance, boot: "", adopt, keepImages: 0, maxRestartWaitMs: 0, followed };
    const device = { runtime, folder, lastGood, identity };
    const { mine, foreignCluster } = await lookFor(device, signal);
    const networks = await runtime.listNetworks(signal);
    const inventory = {
      containers: mine.map(({ container }) => container.name).sort(),
      foreignCluster,
      hasNetwork: networks.some((network) => network.name === NEBULA_NETWORK && isOfNebula(network)),
      dataFolder: folder?.path,
      deviceId: settings.deviceId ?? lastGood?.loaded.deviceId ?? lastGood?.loaded.deviceToken?.deviceId,
    };
    return new Uninstall(inventory, options, device, opening.move());
  }

  /**
   * Removes one part after the other; `onPart` receives each outcome. Rejects with `unavailable` when the engine goes
   * away, and with `cancelled` when the signal is aborted. @returns whether all is removed, the data folder included
   */
  async remove(onPart: (outcome: PartOutcome) => void): Promise<boolean> {
    let failed = false;
    const say = (outcome: PartOutcome) => {
      failed ||= outcome.kind === "failed";
      onPart(outcome);
    };
    await this.#removeContainers(say);
    if (this.#options.removesVolumes) await this.#removeVolumes(say);
    await this.#removeNetworks(say);
    const { folder } = this.#device;
    if (folder === undefined) return !failed;
    const part = `data folder ${folder.path}`;
    if (failed) {
      say({ kind: "kept", part, reason: "the next run needs it" }); // U2
      return false;
    }
    await removing(part, say, async () => {
      const isGone = await folder.remove();
      if (!isGone) say({ kind: "kept", part, reason: "the files of the worker are removed; it is a mount, or holds other files" });
      return isGone;
    });
    return !failed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }

  /**
   * Removes them until none is left: one that another call of the worker's still made comes late, and the engine may
   * take its time.
   */
  async #removeContainers(say: (outcome: PartOutcome) => void): Promise<void> {
    const { clock, signal } = this.#options;
    const failed = new Set<string>();
    const asked = new Map<string, string>();
    for (let look = 1; ; look++) {
      const mine = (await lookFor(this.#device, signal)).mine.filter(({ container }) => !failed.has(container.id));
      const left = new Set(mine.map(({ container }) => container.id));
      for (const [id, part] of asked) {
        if (left.has(id)) continue;
        asked.delete(id);
        if (!failed.has(id)) say({ kind: "removed", part });
      }
      if (left.size === 0) return;
      if (look > LOOKS) {
        for (const { container } of mine) {
          const reason = asked.has(container.id) ? "the engine does not finish its removal" : "a worker of this instance makes containers: stop it";
          say({ kind: "failed", part: partOf(container), reason });
        }
        return;
      }
      if (mine.some(({ container }) => asked.has(container.id))) await clock.sleep(LOOK_EVERY_MS, signal);
      if (this.#options.removesVolumes) await this.#noteVolumes(mine);
      await mapLimited(mine, AT_ONCE, async (owned) => {
        const { id } = owned.container;
        asked.set(id, partOf(owned.container));
        await this.#removeContainer(owned).catch((error) => {
          if (signal.aborted || isNebulaError(error, "unavailable")) throw error;
          failed.add(id);
          say({ kind: "failed", part: partOf(owned.container), reason: messageOf(error) }); // U3
        });
      });
    }
  }

  async #removeContainer(owned: Owned): Promise<void> {
    const { id, phase, listedOnly } = owned.container;
    const { signal, removesVolumes } = this.#options;
    if (listedOnly !== undefined) throw new NebulaError("failed_precondition", `it cannot be inspected: ${listedOnly.failure}`);
    try {
      if (isUp(phase)) await this.#device.runtime.stop(id, this.#graceSecondsOf(owned), signal);
    } catch (error) {
      if (!isNebulaError(error, "not_found")) throw error;
    }
    await this.#device.runtime.remove(id, { force: phase === "dead", keepsVolumes: !removesVolumes }, signal);
  }

  #graceSecondsOf(owned: Owned): number {
    const state = this.#device.lastGood?.loaded.config?.state;
    const entity = owned.kind === "app" ? state?.apps.get(owned.app)?.app : state?.cronJobs.get(owned.cronJob)?.cronJob;
    return entity?.stopGraceSeconds ?? DEFAULTS.stopGraceSeconds;
  }

  /** Notes the volumes that the engine does not remove with these containers. A disk that is full stops no removal. */
  async #noteVolumes(containers: readonly Owned[]): Promise<void> {
    for (const { container } of containers) for (const volume of container.carriedVolumes ?? []) this.#volumes.set(volume, container.id);
    await this.#saveVolumes();
  }

  async #saveVolumes(): Promise<void> {
    const { lastGood } = this.#device;
    const outcome = await lastGood?.saveMemory({ ...(lastGood.loaded.memory ?? EMPTY_MEMORY), volumes: this.#volumes });
    if (outcome?.kind === "not_saved") this.#options.log.warn({ reason: outcome.reason }, "the volumes that are to be removed can't be noted");
  }

  /** Removes the noted volumes of containers that are gone. */
  async #removeVolumes(say: (outcome: PartOutcome) => void): Promise<void> {
    const { signal } = this.#options;
    const present = new Set((await this.#device.runtime.listContainers(signal)).map(({ id }) => id));
    const gone = [...this.#volumes].filter(([, containerId]) => !present.has(containerId));
    await mapLimited(gone, AT_ONCE, ([volume]) =>
      removing(`anonymous volume ${volume.slice(0, 12)}`, say, async () => {
        await this.#device.runtime.removeVolume(volume, signal);
        this.#volumes.delete(volume);
        return true;
      }),
    );
    await this.#saveVolumes();
  }

  /** A network that a container is on, running or not, is somebody's; so is one without the label of a worker. */
  async #removeNetworks(say: (outcome: PartOutcome) => void): Promise<void> {
    const { signal } = this.#options;
    const networks = (await this.#device.runtime.listNetworks(signal)).filter(({ name }) => name === NEBULA_NETWORK);
    if (networks.length === 0) return;
    const containers = await this.#device.runtime.listContainers(signal);
    for (const network of networks) {
      const part = `network ${network.name}`;
      const user = containers.find((container) => isOn(container, network));
      if (!isOfNebula(network)) say({ kind: "kept", part, reason: "it was not made by Nebula" });
      else if (user !== undefined) say({ kind: "kept", part, reason: `container ${user.name} is on it` });
      else
        await removing(part, say, async () => {
          await this.#device.runtime.removeNetwork(network.id, signal);
          return true;
        });
    }
  }
}

/** U1: by the same rules as the rounds of a worker; of the containers of the original only those that it adopted. */
async function lookFor({ runtime, identity, lastGood }: Device, signal: AbortSignal): Promise<Look> {
  const adopted = lastGood?.loaded.memory?.adopted ?? EMPTY_MEMORY.adopted;
  const engine = await runtime.info(signal);
  const context = { identity, engine, jobs: NO_JOBS, adopted, unknown: new Set<string>(), exits: new Map<string, number>() };
  const { owned, foreignCluster } = (await new Observer({ runtime }).look(context, signal)).classified;
  return { mine: owned.filter(({ original, container }) => !original || adopted.has(container.id)), foreignCluster };
}

/** The data folder, locked; undefined if it does not exist: none is made. */
async function lockedFolder(path: string, log: Log): Promise<DataFolder | undefined> {
  const exists = await stat(path).then(
    () => true,
    (error) => codeOf(error) !== "ENOENT",
  );
  if (!exists) return undefined;
  const folder = await DataFolder.open(path, log).catch((error) => {
    if (!isNebulaError(error, "failed_precondition")) throw error;
    throw new NebulaError("failed_precondition", `a worker uses the data folder ${path}: stop it first`, { cause: error });
  });
  if (folder.failure === undefined) return folder;
  folder[Symbol.dispose]();
  throw new NebulaError("failed_precondition", `the data folder ${path} can't be locked: ${folder.failure}`);
}

/** Runs the removal of one part and says how it ended. `remove` answers whether it is gone; if not, it has said so. */
async function removing(part: string, say: (outcome: PartOutcome) => void, remove: () => Promise<boolean>): Promise<void> {
  try {
    if (await remove()) say({ kind: "removed", part });
  } catch (error) {
    if (isNebulaError(error, "unavailable") || isNebulaError(error, "cancelled")) throw error;
    say({ kind: "failed", part, reason: messageOf(error) }); // U3
  }
}

function partOf({ name }: ObservedContainer): string {
  return `container ${name}`;
}

/** A container that was not started yet is on its networks by name alone. */
function isOn({ networks, networkIds }: ObservedContainer, { id, name }: ObservedNetwork): boolean {
  return networkIds.includes(id) || networks.includes(name);
}
