import { fromBinary } from "@bufbuild/protobuf";
import { BoundedMap } from "../../common/bounded-map.ts";
import type { Clock } from "../../common/clock/clock.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import { DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";

/** Groups that are remembered; beyond that the one that was read first is read again when it is asked for. */
const KEPT = 10_000;

export type GroupSpreadsDeps = Readonly<{
  configStore: Pick<ConfigStore, "get">;
  clock: Clock;
  /** How long a read counts, milliseconds. */
  cacheTimeMs: number;
  /** The `spread` of a group that is watched here; undefined: it is not. */
  watched: (deviceGroup: string) => number | undefined;
}>;

/** The `spread` of device_groups, without a read of the store where a group is watched here or was read within cache_time, and with one read for all that ask at once. */
export class GroupSpreads {
  readonly #deps: GroupSpreadsDeps;
  readonly #read = new BoundedMap<string, Readonly<{ at: number; spread: Promise<number> }>>(KEPT);

  constructor(deps: GroupSpreadsDeps) {
    this.#deps = deps;
  }

  /**
   * At least 1; 1 for a group that does not exist. While the store is away, what was read last, else 1: the group's first owner, who has the group, sends the
   * others' devices on.
   */
  of(deviceGroup: string): Promise<number> {
    const { watched, clock, cacheTimeMs } = this.#deps;
    const here = watched(deviceGroup);
    if (here !== undefined) return Promise.resolve(Math.max(1, here));
    const now = clock.monotonic();
    const known = this.#read.get(deviceGroup);
    if (known !== undefined && now - known.at < cacheTimeMs) return known.spread;
    const spread: Promise<number> = this.#load(deviceGroup).catch((error: unknown) => {
      if (this.#read.get(deviceGroup)?.spread === spread) {
        if (known === undefined) this.#read.delete(deviceGroup);
        else this.#read.set(deviceGroup, known);
      }
      if (isNebulaError(error, "unavailable")) return known?.spread ?? 1;
      throw error;
    });
    this.#read.set(deviceGroup, { at: now, spread });
    return spread;
  }

  async #load(deviceGroup: string): Promise<number> {
    const stored = await this.#deps.configStore.get({ kind: "device_group", name: deviceGroup });
    return stored === undefined || stored.deleted ? 1 : Math.max(1, fromBinary(DeviceGroupSchema, stored.body).spread);
  }
}
