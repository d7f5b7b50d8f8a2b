/**
 * Devices that follow their shard: light connections, moved by the worker's own rules.
 *
 * M1 A device is served, or it looks for a shard: between the end of a watch and the next answer it is without one, and that time is counted.
 * M2 A watch that ends otherwise than by a redirect is a flaw, and is named.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { credentials } from "@grpc/grpc-js";
import type { Clock } from "../../common/clock/clock.ts";
import { messageOf } from "../../common/errors/nebula-error.ts";
import { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { WatchConfigResponseSchema } from "../../gen/nebula/v1/config_pb.ts";
import { ShardService } from "../../gen/nebula/v1/shard_pb.ts";
import {
  afterLocate,
  afterWatch,
  FIRST_STATE,
  type LocateOutcome,
  type Move,
  WATCH_TIMING,
  type WatchOutcome,
} from "../../worker/connection/moves.ts";
import { sharedNow } from "../client/fleet-protocol.ts";
import { GrpcDevice } from "../client/grpc-device.ts";
import { deviceId, Requests } from "../client/requests.ts";

export type MovingOptions = Readonly<{
  /** The manager that is asked for shard maps, host:port. */
  manager: string;
  /** Of every call, to any shard. */
  headers: Readonly<Record<string, string>>;
  groups: readonly Readonly<{ name: string; devices: number }>[];
}>;

/** The moves of the devices until all were served by the shards that they were waited for at. Times are `sharedNow`, milliseconds. */
export type Moves = Readonly<{
  /** The first watch ended; NaN where none did. */
  firstLostAt: number;
  /** The last device was served again. */
  lastServedAt: number;
  /** How long each device was without a watch, one length for each time. */
  gapsMs: Float64Array;
  /** Of one device, the most. */
  mostRedirects: number;
  flaws: readonly string[];
}>;

/** Devices that are on their way to their first watch at a time. */
const STARTING_AT_ONCE = 256;
const SOURCE_ADDRESSES = 100;
const LOCATE_LIMIT_MS = 10_000;
const MOST_FLAWS = 10;

type Device = {
  readonly index: number;
  readonly deviceGroup: string;
  etag: string;
  servedBy: string | undefined;
  servedSince: number;
  lostAt: number | undefined;
  redirects: number;
};

type Waiting = {
  readonly to: ReadonlySet<string>;
  readonly left: Set<Device>;
  readonly gapsMs: number[];
  firstLostAt: number;
  flaws: string[];
  done(): void;
};

export class MovingDevices implements Disposable {
  readonly #options: MovingOptions;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #map: GrpcChannel;
  readonly #devices: readonly Device[];
  /** By address and group. */
  readonly #requests = new Map<string, Requests>();
  #waiting: Waiting | undefined;

  constructor(options: MovingOptions, clock: Clock, signal: AbortSignal) {
    this.#options = options;
    this.#clock = clock;
    this.#signal = signal;
    this.#map = new GrpcChannel(options.manager, credentials.createInsecure());
    const groups = options.groups.flatMap(({ name, devices }) => Array.from({ length: devices }, () => name));
    this.#devices = groups.map((deviceGroup, index) => {
      return { index, deviceGroup, etag: "", servedBy: undefined, servedSince: 0, lostAt: undefined, redirects: 0 };
    });
  }

  /** Resolves when each device has a watch. They go on until the signal is aborted. */
  async start(): Promise<void> {
    const next = this.#devices.values();
    const startNext = async () => {
      for (const device of next) {
        await new Promise<void>((resolve) => void this.#run(device, resolve));
      }
    };
    await Promise.all(Array.from({ length: STARTING_AT_ONCE }, startNext));
  }

  /** Resolves when each device has had its watch for `forMs`: its next move is not that of a device which just came. */
  async steady(forMs: number): Promise<void> {
    for (;;) {
      const newest = this.#devices.reduce((most, { servedBy, servedSince }) => Math.max(most, servedBy === undefined ? sharedNow() : servedSince), 0);
      const leftMs = newest + forMs - sharedNow();
      if (leftMs <= 0) return;
      await this.#clock.sleep(leftMs, this.#signal);
    }
  }

  /** Resolves when each device is served by one of these. Events before the call do not count. */
  async moved(to: readonly string[]): Promise<Moves> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const wanted = new Set(to);
    const left = new Set(this.#devices.filter(({ servedBy }) => servedBy === undefined || !wanted.has(servedBy)));
    for (const device of this.#devices) device.redirects = 0;
    const waiting: Waiting = { to: wanted, left, gapsMs: [], firstLostAt: Number.NaN, flaws: [], done: resolve };
    this.#waiting = waiting;
    if (left.size === 0) resolve();
    await promise;
    this.#waiting = undefined;
    return {
      firstLostAt: waiting.firstLostAt,
      lastServedAt: sharedNow(),
      gapsMs: Float64Array.from(waiting.gapsMs),
      mostRedirects: this.#devices.reduce((most, { redirects }) => Math.max(most, redirects), 0),
      flaws: waiting.flaws,
    };
  }

  async #run(device: Device, onFirst: () => void): Promise<void> {
    const context = { timing: WATCH_TIMING, random: Math.random };
    let state = FIRST_STATE;
    let move: Move = { kind: "locate", waitMs: 0 };
    while (!this.#signal.aborted) {
      if (move.waitMs > 0) await this.#clock.sleep(move.waitMs, this.#signal).catch(() => {});
      if (this.#signal.aborted) return;
      if (move.kind === "locate") ({ state, move } = afterLocate(state, await this.#locate(device), context));
      else {
        const dialled: { address: string; serveHere: boolean } = move;
        const outcome = await this.#watch(device, dialled, onFirst);
        this.#lost(device, outcome);
        ({ state, move } = afterWatch(state, dialled, outcome, context));
      }
    }
  }

  async #locate({ index, deviceGroup }: Device): Promise<LocateOutcome> {
    const call = { headers: this.#options.headers, signal: this.#signal, timeoutMs: LOCATE_LIMIT_MS };
    try {
      const { shards } = await this.#map.unary(ShardService.method.getShardMap, { deviceGroup, deviceId: deviceId(index) }, call);
      return { kind: "located", addresses: shards.map(({ address }) => address) };
    } catch (error) {
      return { kind: "unreachable", reason: messageOf(error) };
    }
  }

  /** One watch, until it ends. */
  async #watch(device: Device, { address, serveHere }: { address: string; serveHere: boolean }, onServed: () => void): Promise<WatchOutcome> {
    const { promise, resolve } = Promise.withResolvers<WatchOutcome>();
    const began = sharedNow();
    const pieces: Buffer[] = [];
    let served = false;
    const uptimeMs = () => (served ? sharedNow() - began : 0);
    const where = { port: portOf(address), localAddress: `127.0.0.${2 + (device.index % SOURCE_ADDRESSES)}` };
    const request = this.#requestsTo(address, device.deviceGroup).watch(device.index, device.etag, serveHere);
    const light = new GrpcDevice(device.index, where, request, {
      onBody: (piece) => pieces.push(Buffer.from(piece)),
      onMessage: () => {
        const { answer } = fromBinary(WatchConfigResponseSchema, Buffer.concat(pieces.splice(0)));
        if (answer.case === "redirect") {
          const { address: to, retryAfterMs } = answer.value;
          return resolve(to === "" ? { kind: "relocate", uptimeMs: uptimeMs(), retryAfterMs } : { kind: "redirect", address: to, retryAfterMs });
        }
        if (answer.case === "config") device.etag = answer.value.etag;
        light.ping(); // as a report does, it says that the device got the answer
        if (served) return;
        served = true;
        this.#served(device, address);
        onServed();
      },
      onAnswer: () => {},
      onPong: () => {},
      onGoaway: () => {}, // a frame that says where the watch goes on may come after it
      onLost: (_, reason) => resolve(served ? { kind: "ended", uptimeMs: uptimeMs(), reason } : { kind: "failed", reason }),
    });
    const stop = () => resolve({ kind: "failed", reason: "stopped" });
    this.#signal.addEventListener("abort", stop, { once: true });
    try {
      return await promise;
    } finally {
      this.#signal.removeEventListener("abort", stop);
      light.close();
    }
  }

  #requestsTo(address: string, deviceGroup: string): Requests {
    const key = `${address} ${deviceGroup}`;
    const known = this.#requests.get(key);
    if (known !== undefined) return known;
    const made = new Requests({ protocol: "grpc", port: portOf(address), headers: this.#options.headers, deviceGroup, etag: "" });
    this.#requests.set(key, made);
    return made;
  }

  #served(device: Device, address: string): void {
    const now = sharedNow();
    device.servedBy = address;
    device.servedSince = now;
    const waiting = this.#waiting;
    if (waiting !== undefined && device.lostAt !== undefined) waiting.gapsMs.push(now - device.lostAt); // M1
    device.lostAt = undefined;
    if (waiting?.to.has(address) === true && waiting.left.delete(device) && waiting.left.size === 0) waiting.done();
  }

  #lost(device: Device, outcome: WatchOutcome): void {
    const now = sharedNow();
    const waiting = this.#waiting;
    if (device.servedBy !== undefined) {
      device.servedBy = undefined;
      device.lostAt = now; // M1
      waiting?.left.add(device);
      if (waiting !== undefined && Number.isNaN(waiting.firstLostAt)) waiting.firstLostAt = now;
    }
    if (outcome.kind === "redirect" || outcome.kind === "relocate") device.redirects++;
    else if (waiting !== undefined && waiting.flaws.length < MOST_FLAWS) waiting.flaws.push(`${deviceId(device.index)}: ${outcome.reason}`); // M2
  }

  [Symbol.dispose](): void {
    this.#map[Symbol.dispose]();
  }
}

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(":") + 1));
}
