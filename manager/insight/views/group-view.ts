import type { DeviceConnection, DeviceSummary } from "../../../gen/nebula/v1/device_pb.ts";

/** One device of a group as the store has it. */
export type DeviceInGroup = Readonly<{
  deviceId: string;
  /** Undefined: it connected and never reported. */
  summary: DeviceSummary | undefined;
  /** Absent fields: it never connected to a shard that writes presence. */
  connection: DeviceConnection;
  /** The device moves here: it has no summary here. Another device_group has its newest report, lists and counts it until it reports from here. */
  moves?: true;
}>;

/** A change of a device as those see it who count each device once in all groups: without a summary it is not here while it moves. */
export function withoutMove({ before, after }: DeviceChange): DeviceChange {
  return { before: before?.moves === true ? undefined : before, after: after?.moves === true ? undefined : after };
}

/**
 * The devices of one device_group, kept up to date for one reader. Every reader of a group on a shard shares one mirror, so a view costs no memory per device.
 * Dispose it when the reader ends.
 */
export interface GroupView extends Disposable {
  readonly deviceGroup: string;
  /** By device id. The map changes in place; an entry is replaced, never changed. */
  readonly devices: ReadonlyMap<string, DeviceInGroup>;
  /** Aborted, with `resource_exhausted`, when it ends before its reader: the mirrors of the shard grew beyond their room. Nothing in it changes then. */
  readonly ended: AbortSignal;
  /**
   * Called after entries changed, with each changed device as it was before and as it is now (undefined: it is not in the group). Calls are never nested. A
   * listener must not throw.
   */
  onChange(listener: (changes: readonly DeviceChange[]) => void): Disposable;
  /**
   * Reads from the store the devices whose versions differ, so that the mirror equals a recount. The read begins after the call. Rejects with `unavailable` when the store does not answer.
   */
  reread(signal: AbortSignal): Promise<void>;
}

export type DeviceChange = Readonly<{ before: DeviceInGroup | undefined; after: DeviceInGroup | undefined }>;

export interface GroupViews {
  /**
   * Opens a view of a group, loaded: a group that no device is in has an empty one. Rejects with `unavailable` when the store does not answer,
   * `resource_exhausted` when the mirrors of this shard hold too many bytes.
   */
  open(deviceGroup: string, signal: AbortSignal, options?: OpenOptions): Promise<GroupView>;
}

export type OpenOptions = Readonly<{
  /** A page after the first: a mirror that was read lately, with nothing lost since, is taken as it is. Otherwise one without readers is read again. */
  isNextPage?: boolean;
}>;
