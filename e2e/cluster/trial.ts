import { strict as assert } from "node:assert";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import { eventually, untilNone } from "../../common/testing/eventually.ts";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import type { Api } from "../harness/api.ts";
import type { AppDoor } from "./app-door.ts";
import type { DeviceNow } from "./device-record.ts";
import { Fleet, type FleetSeen } from "./fleet.ts";
import type { FleetDevice } from "./fleet-protocol.ts";
import { ReportLedger } from "./report-ledger.ts";
import { Writers } from "./writers.ts";

export type TrialOptions = Readonly<{
  api: Api;
  /** NEBULA_SERVER of the devices. */
  server: string;
  doors: readonly AppDoor[];
  /** The store itself, past the API. */
  store: Pick<ConfigStore, "history" | "get">;
  devices: number;
  groups: number;
  fleetProcesses: number;
  /** The mean of the time between two changes of an app, milliseconds. */
  pauseMs: number;
}>;

/** The app that all groups name; each has one of its own besides. */
const SHARED_APP = "everywhere";
const APPS_OF_DEVICE = 2;
/** How long nothing may come nearer to what it should be after a fault: a lease of 10 s, reconnects, a recheck, and a slow machine. */
const WHOLE_MS = 60_000;
const UNTIL_WHOLE = { stillMs: WHOLE_MS, everyMs: 1000 };
/** At the start, devices whose enrolment failed on a slow machine wait longer and longer before the next try. */
const UNTIL_STARTED = { ...UNTIL_WHOLE, stillMs: 180_000 };
/** The fewest writes to be acknowledged between two checks. */
const FEWEST_WRITES = 10;

/** Devices that follow apps which writers change, while faults come and go: what has to hold after each is `assertWhole`. */
export class Trial implements AsyncDisposable {
  readonly writers: Writers;
  readonly fleet: Fleet;
  readonly #options: TrialOptions;
  readonly #ledger: ReportLedger;
  #devices: number;

  private constructor(options: TrialOptions, writers: Writers, fleet: Fleet) {
    this.#options = options;
    this.#devices = options.devices;
    this.writers = writers;
    this.fleet = fleet;
    this.#ledger = new ReportLedger(options.api);
  }

  /** Makes apps and groups, the first one of which two shards share, and starts the devices. Resolves when all of them run what they should. */
  static async start(options: TrialOptions): Promise<Trial> {
    const { api, doors, server, pauseMs, fleetProcesses: processes } = options;
    const call = { headers: api.headers, timeoutMs: 20_000 };
    const groups = groupsOf(options);
    const apps = [SHARED_APP, ...groups.map(ownAppOf)];
    for (const name of apps) await api.createApp({ name, dockerImage: "busybox:1" });
    const devices: FleetDevice[] = [];
    for (const [i, name] of groups.entries()) {
      const deviceGroup = { name, apps: [SHARED_APP, ownAppOf(name)], spread: i === 0 ? 2 : 0 };
      await api.channel.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup }, call);
      const uses = Math.floor(options.devices / groups.length) + (i === 0 ? options.devices % groups.length : 0);
      devices.push(...(await enrol(api, name, "device", uses)));
    }
    const writers = new Writers({ doors, apps, writersPerApp: 1, pauseMs });
    const trial = new Trial(options, writers, await Fleet.start({ server, devices, processes }));
    try {
      await trial.assertWhole({ until: UNTIL_STARTED });
    } catch (error) {
      await trial[Symbol.asyncDispose]();
      throw error;
    }
    return trial;
  }

  /** Starts more devices, which run the worker of the release before shards: two in each group, in one process. Answers their ids. */
  async addEarlierDevices(): Promise<readonly string[]> {
    const { api, server } = this.#options;
    const devices: FleetDevice[] = [];
    for (const group of groupsOf(this.#options)) devices.push(...(await enrol(api, group, "earlier", 2)));
    await this.fleet.add({ server, devices, processes: 1, earlier: true });
    this.#devices += devices.length;
    return devices.map(({ deviceId }) => deviceId);
  }

  /** Resolves once every device runs a revision of the shared app that was stored after this call: for a time when the writers write. */
  async allFollow(): Promise<void> {
    const before = (await this.#options.store.get({ kind: "app", name: SHARED_APP }))?.revision ?? 0n;
    let late: readonly string[] = [];
    await untilNone(async () => {
      const { devices } = await this.fleet.look();
      const follows = ({ apps }: DeviceNow) => apps.some(({ name, applied }) => name === SHARED_APP && applied > before);
      late = devices.filter((device) => !follows(device)).map(({ deviceId }) => deviceId);
      return this.#devices - devices.length + late.length;
    }, UNTIL_WHOLE).catch((error) => {
      throw new Error(`${late.length} devices have no revision of ${SHARED_APP} above ${before}: ${late.slice(0, 5).join(", ")}`, { cause: error });
    });
  }

  /**
   * Tries a fault while the writers write, and asserts that everything is whole afterwards.
   * @param fault resolves when the fault is over, and rejects where it did not happen
   */
  async survive(fault: () => Promise<void>, options: Readonly<{ behindMs?: number }> = {}): Promise<void> {
    this.writers.start();
    await fault();
    await eventually(() => this.writers.acknowledged >= FEWEST_WRITES, { timeoutMs: WHOLE_MS });
    await this.assertWhole(options);
  }

  /**
   * With the writers paused: no acknowledged write is lost and no revision was given twice; every device gets to the newest revision of all its apps, and none
   * went back; every acknowledged report is in the history once, and each device's row is its newest.
   */
  async assertWhole({ behindMs = 0, until = UNTIL_WHOLE }: Readonly<{ behindMs?: number; until?: typeof UNTIL_WHOLE }> = {}): Promise<void> {
    await this.writers.pause();
    let newest = await this.#newest();
    let seen: FleetSeen | undefined;
    await untilNone(async () => {
      seen = await this.fleet.look();
      if (isAbove(seen, newest)) newest = await this.#newest(); // a write whose outcome no writer knows was stored just now
      return APPS_OF_DEVICE * (this.#devices - seen.devices.length) + behind(seen, newest).length;
    }, until).catch((error) => {
      const late = seen === undefined ? [] : behind(seen, newest);
      throw new Error(`${seen?.devices.length} devices, of which are behind: ${late.length}, such as ${late.slice(0, 5).join("; ")}`, {
        cause: error,
      });
    });
    assert.deepEqual(seen?.flaws, []);
    let flaws: readonly string[] = [];
    await untilNone(async () => {
      await this.fleet.look(); // for what was acknowledged meanwhile
      flaws = await this.#ledger.flaws(this.fleet.acknowledged, behindMs);
      return flaws.length;
    }, UNTIL_WHOLE).catch((error) => {
      throw new Error(`${flaws.length} reports, such as ${flaws.slice(0, 5).join("; ")}`, { cause: error });
    });
  }

  /** The newest revision of each app. Rejects where the history and what the writers were answered contradict each other. */
  async #newest(): Promise<ReadonlyMap<string, bigint>> {
    const { violations, newest } = await this.writers.check(this.#options.store);
    assert.deepEqual(violations, []);
    return newest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.writers.pause().catch(() => {});
    await this.fleet[Symbol.asyncDispose]();
  }
}

function groupsOf({ groups }: TrialOptions): string[] {
  return Array.from({ length: groups }, (_, i) => `group-${i}`);
}

/** Makes a token by which `uses` devices enrol in a group. */
async function enrol(api: Api, deviceGroup: string, kind: string, uses: number): Promise<FleetDevice[]> {
  const call = { headers: api.headers, timeoutMs: 20_000 };
  const { token } = await api.channel.unary(AccessService.method.createEnrolmentToken, { deviceGroup, uses }, call);
  return Array.from({ length: uses }, (_, n) => ({ deviceId: `${deviceGroup}-${kind}-${n}`, enrollToken: token }));
}

function ownAppOf(group: string): string {
  return `app-of-${group}`;
}

/** Whether a device knows of a newer revision than this. */
function isAbove({ devices }: FleetSeen, newest: ReadonlyMap<string, bigint>): boolean {
  return devices.some(({ apps }) => apps.some(({ name, revision }) => revision > (newest.get(name) ?? 0n)));
}

/** The devices that are not fully at the newest revision of each of their apps. */
function behind({ devices }: FleetSeen, newest: ReadonlyMap<string, bigint>): string[] {
  return devices.flatMap(({ deviceId, deviceGroup, apps }) =>
    [SHARED_APP, ownAppOf(deviceGroup)].flatMap((name) => {
      const on = apps.find((app) => app.name === name);
      return on !== undefined && on.applied === newest.get(name)
        ? []
        : [`${deviceId}: ${name} ${on?.applied}/${on?.revision} of ${newest.get(name)}`];
    }),
  );
}
