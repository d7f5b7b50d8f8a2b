import { NebulaError } from "../../common/errors/nebula-error.ts";
import { ApplyService, ApplyVerdict, ApplyVerdictSchema, type WatchApplyResponse } from "../../gen/nebula/v1/apply_pb.ts";
import { TargetKind } from "../../gen/nebula/v1/device_pb.ts";
import { sharedNow } from "../client/fleet-protocol.ts";
import type { BenchManager } from "../servers/open-manager.ts";

/** Streams that are opened besides the first one to measure what one more takes. A manager has 20 of one caller. */
const MORE_STREAMS = 10;

/** A revision of an app, and the devices that are to have it. */
export type FollowedChange = Readonly<{ app: string; revision: bigint; devices: number }>;

/** Follows a change by a WatchApply without settling; resolves with when its verdict came (`sharedNow`). Rejects where that is not that every device applied it. */
export async function followApply({ channel, call }: BenchManager, change: FollowedChange): Promise<number> {
  const request = { targets: [target(change)], settleMs: 0 };
  let last: WatchApplyResponse | undefined;
  for await (const message of channel.serverStream(ApplyService.method.watchApply, request, call)) last = message;
  const at = sharedNow();
  assertApplied(last, change);
  return at;
}

/** Throws where the last message of a WatchApply does not say that every device is online and applied the change: figures of another end are no figures. */
export function assertApplied(last: WatchApplyResponse | undefined, { app, revision, devices }: FollowedChange): void {
  const all = BigInt(devices);
  const { counts, verdict = ApplyVerdict.UNSPECIFIED } = last ?? {};
  const isWhole = counts?.devices === all && counts.applied === all && counts.online === all && counts.onlineApplied === all;
  if (verdict === ApplyVerdict.APPLIED && isWhole && last?.groups === 1n && last.superseded.length === 0) return;
  const { devices: counted = 0n, applied = 0n, online = 0n, failed = 0n } = counts ?? {};
  const found = `${applied} of ${counted} devices applied, ${online} are online, ${failed} failed`;
  throw new NebulaError("internal", `revision ${revision} of ${app} was to reach ${devices} devices: ${nameOf(verdict)}, ${found}`);
}

export type StreamMemory = Readonly<{
  /** Of the mirror of the device_group, by device. */
  mirrorPerDevice: number;
  /** Of one more stream on the same mirror. */
  oneMoreStream: number;
}>;

/** Bytes that streams take while they wait. @param change one that is not made, so that they do */
export async function measureStreams(manager: BenchManager, change: FollowedChange): Promise<StreamMemory> {
  const closing = new AbortController();
  const open: Promise<void>[] = [];
  const openMore = async (count: number) => {
    for (let stream = 0; stream < count; stream++) {
      const { promise: counted, resolve, reject } = Promise.withResolvers<void>();
      const held = holdOpen(manager, change, closing.signal, resolve);
      held.catch(reject);
      open.push(held);
      await counted;
    }
  };
  try {
    const without = await manager.heapBytes();
    await openMore(1);
    const withOne = await manager.heapBytes();
    await openMore(MORE_STREAMS);
    const oneMoreStream = ((await manager.heapBytes()) - withOne) / MORE_STREAMS;
    return { mirrorPerDevice: (withOne - without - oneMoreStream) / change.devices, oneMoreStream };
  } finally {
    closing.abort();
    await Promise.all(open);
  }
}

/** Holds a stream open until the signal; `onCounted` is called with its first numbers. */
async function holdOpen({ channel, call }: BenchManager, change: FollowedChange, signal: AbortSignal, onCounted: () => void): Promise<void> {
  const options = { ...call, signal: call.signal === undefined ? signal : AbortSignal.any([call.signal, signal]) };
  try {
    for await (const { counts, verdict } of channel.serverStream(ApplyService.method.watchApply, { targets: [target(change)] }, options)) {
      if (verdict !== ApplyVerdict.UNSPECIFIED || counts?.devices !== BigInt(change.devices) || counts.waiting + counts.working !== counts.devices)
        throw new NebulaError(
          "internal",
          `a change that is not made yet has ${nameOf(verdict)} with ${counts?.applied} of ${counts?.devices} devices`,
        );
      onCounted();
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

function nameOf(verdict: ApplyVerdict): string {
  return ApplyVerdictSchema.value[verdict]?.name ?? String(verdict);
}

function target({ app, revision }: FollowedChange) {
  return { kind: TargetKind.APP, name: app, revision };
}
