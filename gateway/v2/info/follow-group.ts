import { create, isMessage } from "@bufbuild/protobuf";
import { PART_TOKEN_HEADER } from "../../../common/access/part-token.ts";
import { backoffMs } from "../../../common/clock/backoff.ts";
import type { Clock } from "../../../common/clock/clock.ts";
import { assertNever } from "../../../common/errors/assert-never.ts";
import { messageOf } from "../../../common/errors/nebula-error.ts";
import type { Log } from "../../../common/log/log.ts";
import {
  type ConfigPush,
  ConfigService,
  WatchConfigRequestSchema,
  type WatchConfigResponse,
  WatchConfigResponseSchema,
} from "../../../gen/nebula/v1/config_pb.ts";
import type { ManagerPool } from "../../managers/manager-pool.ts";

const METHOD = ConfigService.method.watchConfig;
/** The waits between attempts, milliseconds; each is drawn between nothing and this (full jitter), doubling. The longest is shorter than a poll waits. */
const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 4000;

/** The events of the watch of a device_group. */
export type GroupNews = Readonly<
  | { kind: "config"; push: ConfigPush }
  /** The last event is the newest state. */
  | { kind: "unchanged" }
  | { kind: "no_such_group" }
  /** Changes are unknown until the next event. */
  | { kind: "lost" }
>;

export type FollowGroupOptions = Readonly<{
  pool: Pick<ManagerPool, "serverStream">;
  partToken: string;
  deviceGroup: string;
  /** Etag of the config held as it was received; empty: none. */
  etag: () => string;
  heard: (news: GroupNews) => void;
  clock: Clock;
  log: Log;
}>;

/**
 * Watches a device_group under the part token, on any manager, without a device, until the signal is aborted. A watch
 * that ends is opened again, with longer waits each time that it fails.
 */
export async function followGroup(options: FollowGroupOptions, signal: AbortSignal): Promise<void> {
  const { deviceGroup, heard, clock, log } = options;
  let failures = 0;
  while (!signal.aborted) {
    let waitMs: number | undefined;
    try {
      for await (const answer of watch(options, signal)) {
        failures = 0;
        waitMs = hear(answer, heard);
        if (waitMs !== undefined) break;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (failures === 0) log.info({ deviceGroup, error: messageOf(error) }, "the watch of a polled device_group broke and is opened again");
    }
    heard({ kind: "lost" });
    waitMs ??= backoffMs({ firstMs: FIRST_WAIT_MS, longestMs: LONGEST_WAIT_MS }, ++failures);
    await clock.sleep(Math.random() * waitMs, signal).catch(() => {});
  }
}

async function* watch({ pool, partToken, deviceGroup, etag }: FollowGroupOptions, signal: AbortSignal): AsyncGenerator<WatchConfigResponse, void> {
  const request = create(WatchConfigRequestSchema, { deviceGroup, serveHere: true, etag: etag() });
  for await (const answer of pool.serverStream(METHOD, request, { signal, headers: { [PART_TOKEN_HEADER]: partToken } }))
    if (isMessage(answer, WatchConfigResponseSchema)) yield answer;
}

/** Passes an answer on; returns the wait before the next watch, milliseconds, if this one is over. */
function hear({ answer }: WatchConfigResponse, heard: (news: GroupNews) => void): number | undefined {
  switch (answer.case) {
    case "config":
      heard({ kind: "config", push: answer.value });
      return undefined;
    case "unchanged":
      heard({ kind: "unchanged" });
      return undefined;
    case "noSuchGroup":
      heard({ kind: "no_such_group" });
      return undefined;
    case "redirect":
      return answer.value.retryAfterMs; // the address does not matter: any manager serves a part
    case undefined:
      return undefined; // an answer of a newer version
    default:
      return assertNever(answer);
  }
}
