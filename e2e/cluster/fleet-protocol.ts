import type { Acknowledged, DeviceNow } from "./device-record.ts";

export type FleetDevice = Readonly<{ deviceId: string; enrollToken: string }>;

/** The commands of the tests to one process of a fleet; each is answered before the next. */
export type FleetCommand = Readonly<
  | {
      kind: "start";
      /** The tree of the release before shards, where the devices run its worker. */
      earlier: string | undefined;
      /** NEBULA_SERVER */
      server: string;
      /** of the devices' data */
      folder: string;
      devices: readonly FleetDevice[];
    }
  /** How all devices are, and what came to pass since the last look. */
  | { kind: "look" }
>;

export type FleetAnswer = Readonly<
  | { kind: "started" }
  | {
      kind: "seen";
      /** Those that have something to report. */
      devices: readonly DeviceNow[];
      /** All of them, since the start. */
      flaws: readonly string[];
      /** By etag, all of them. */
      digests: ReadonlyMap<string, string>;
      /** Since the last look. */
      acknowledged: readonly Acknowledged[];
      /** How often a device connected, since the start. */
      connects: number;
      /** The address that a device connected to last, by its id. */
      servedBy: ReadonlyMap<string, string>;
    }
  | { kind: "failed"; reason: string }
>;
