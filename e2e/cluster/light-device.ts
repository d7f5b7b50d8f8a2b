import { credentials } from "@grpc/grpc-js";
import type { Clock } from "../../common/clock/clock.ts";
import { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { ShardService } from "../../gen/nebula/v1/shard_pb.ts";
import { StatusService } from "../../gen/nebula/v1/status_pb.ts";
import { attemptWatch, type WatchAnswer } from "../../worker/connection/attempt.ts";
import {
  afterLocate,
  afterWatch,
  FIRST_STATE,
  type LocateOutcome,
  type Move,
  WATCH_TIMING,
  type WatchOutcome,
} from "../../worker/connection/moves.ts";

/** Watches on one connection, below what a manager takes. */
const WATCHES_PER_CHANNEL = 500;

/** Connections to managers that many devices of a test share: it is the watches that are many, not the sockets. */
export class SharedChannels implements Disposable {
  readonly #channels = new Map<string, GrpcChannel>();

  /** @param device the number of the device */
  to(address: string, device: number): GrpcChannel {
    const key = `${address} ${Math.floor(device / WATCHES_PER_CHANNEL)}`;
    const channel = this.#channels.get(key) ?? new GrpcChannel(address, credentials.createInsecure());
    this.#channels.set(key, channel);
    return channel;
  }

  [Symbol.dispose](): void {
    for (const channel of this.#channels.values()) channel[Symbol.dispose]();
  }
}

export type LightDeviceOptions = Readonly<{
  channels: SharedChannels;
  index: number;
  deviceGroup: string;
  /** The addresses of managers that may be up: the shard map is asked of the first that answers. */
  managers: () => readonly string[];
  headers: Readonly<Record<string, string>>;
  clock: Clock;
}>;

/** The watch of one device, moved by the worker's own rules, without anything that it runs. */
export class LightDevice {
  /** Where it is served now; undefined: nowhere. */
  servedBy: string | undefined;
  /** Answers that sent it elsewhere since the count was set back. */
  redirects = 0;
  /** Ends of a watch that were no redirect. */
  readonly failures: string[] = [];
  readonly #options: LightDeviceOptions;

  constructor(options: LightDeviceOptions) {
    this.#options = options;
  }

  /** Runs until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const context = { timing: WATCH_TIMING, random: Math.random };
    let state = FIRST_STATE;
    let move: Move = { kind: "locate", waitMs: 0 };
    try {
      for (;;) {
        if (move.waitMs > 0) await clock.sleep(move.waitMs, signal);
        if (move.kind === "locate") ({ state, move } = afterLocate(state, await this.#locate(signal), context));
        else {
          const { address, serveHere }: { address: string; serveHere: boolean } = move;
          const outcome = await this.#watch(address, serveHere, signal);
          ({ state, move } = afterWatch(state, { address, serveHere }, outcome, context));
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #locate(signal: AbortSignal): Promise<LocateOutcome> {
    const { channels, index, deviceGroup, managers, headers } = this.#options;
    let reason = "there is no manager";
    for (const address of managers()) {
      try {
        const request = { deviceGroup, deviceId: `device-${index}` };
        const { shards } = await channels.to(address, index).unary(ShardService.method.getShardMap, request, { headers, signal, timeoutMs: 10_000 });
        return { kind: "located", addresses: shards.map((shard) => shard.address) };
      } catch (error) {
        signal.throwIfAborted();
        reason = String(error);
      }
    }
    return { kind: "unreachable", reason };
  }

  async #watch(address: string, serveHere: boolean, signal: AbortSignal): Promise<WatchOutcome> {
    const { channels, index, deviceGroup, headers, clock } = this.#options;
    const request = {
      deviceGroup,
      deviceId: `device-${index}`,
      boot: "b",
      keepaliveMs: 300_000,
      serveHere,
      etag: "",
      workerVersion: "",
      features: [],
    };
    const channel = channels.to(address, index);
    const onAnswer = (answer: WatchAnswer) => {
      this.servedBy = address;
      // a worker reports after every config: a connection on which nothing is heard after one is closed
      if (answer.case === "config") channel.unary(StatusService.method.getStatus, {}, { headers, signal }).catch(() => {});
    };
    const dead = new AbortController().signal;
    const attempt = { channel, request, headers, mayTakeReports: true, onNoReports: () => {}, reachMs: 10_000, clock, onAnswer, dead, signal };
    const outcome = await attemptWatch(attempt);
    this.servedBy = undefined;
    if (outcome.kind === "redirect" || outcome.kind === "relocate") this.redirects++;
    else this.failures.push(`${outcome.kind}: ${outcome.reason}`);
    return outcome;
  }
}
