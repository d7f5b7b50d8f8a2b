import { ChannelCredentials } from "@grpc/grpc-js";
import { BoundedMap } from "../../common/bounded-map.ts";
import { Alarm } from "../../common/clock/alarm.ts";
import type { Clock } from "../../common/clock/clock.ts";
import { FEATURES } from "../../common/config/watch-features.ts";
import { assertNever } from "../../common/errors/assert-never.ts";
import { type ErrorKind, isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { tlsChannel } from "../../common/rpc/tls-channel.ts";
import type { ServerUrl } from "../../common/settings/settings.ts";
import type { ClientTls } from "../../common/tls/client-tls.ts";
import { VERSION } from "../../common/version.ts";
import { type Report, ReportService } from "../../gen/nebula/v1/report_pb.ts";
import { attemptWatch, type NoReports, type WatchAnswer } from "./attempt.ts";
import { LatestEvents, type WatchEvent } from "./events.ts";
import { locateShards } from "./locator.ts";
import { afterLocate, afterWatch, FIRST_STATE, type LocateOutcome, type Move, WATCH_TIMING, type WatchOutcome, type WatchTiming } from "./moves.ts";
import type { ReportStream } from "./report-stream.ts";
import { isSecure } from "./server-call.ts";

/** The largest config that is received, bytes. */
const LARGEST_MESSAGE = 128 * 1024 * 1024;
/** How long a ping may stay without an answer, milliseconds. */
const LONGEST_PING_MS = 20_000;
/** How long a report may stay without an answer, milliseconds: a connection on which one does is dead. */
const SUBMIT_LIMIT_MS = 30_000;
/** How long a worker does without WatchAndReport at an address at which that was silent, milliseconds. */
const SILENT_FOR_MS = 24 * 3_600_000;
/** Addresses that are remembered as silent. */
const MOST_SILENT = 64;
const HELD_BACK =
  "WatchAndReport is not served here, so the watch is opened by WatchConfig: a proxy on the way may hold back or refuse requests that stream; " +
  "let it forward the port of the manager as TCP (layer 4)";
const NO_TLS_SETTINGS: ClientTls = {};

export type WatchOptions = Readonly<{
  /** A gateway or a manager. */
  server: ServerUrl;
  deviceGroup: string;
  deviceId: string;
  /** A random id of this start of the worker. */
  boot: string;
  /** Milliseconds between two pings. */
  keepaliveMs: number;
  /** The Authorization header, read at each call. */
  authorization: () => string | undefined;
  /** Resolves when there is something to log in with: waited for before each question for the shard map. */
  loginReady?: (signal: AbortSignal) => Promise<void>;
  /** Told that a call with this Authorization header was answered `unauthenticated`; answers whether that was to be expected, as another login is on its way. */
  loginRefused?: (authorization: string | undefined) => boolean;
  /** Etag of the config that is stored as it was received; empty: none. Read at each reconnect. */
  heldEtag: () => string;
  clock: Clock;
  log: Log;
  /** Ends the watch. */
  signal: AbortSignal;
  /** Trusted and own certificates, read again for each connection; the same object as long as nothing differs. */
  tls?: () => ClientTls;
  timing?: WatchTiming;
  /** How long a report may stay without an answer, milliseconds. */
  submitLimitMs?: number;
  /** How long a connection, or the answer to the question for the shard map, may take, milliseconds. */
  reachMs?: number;
  /** How long WatchAndReport may stay without any answer, milliseconds. */
  answerMs?: number;
  /** From 0 up to 1. */
  random?: () => number;
}>;

/** The connection of a worker: its events, for one reader, and its way to send reports. */
export interface Watch extends AsyncIterable<WatchEvent> {
  /** Sends a report on the connection that there is. Rejects with `unavailable` when there is none: the next `connected` is the time to try again. */
  submit(report: Report, signal: AbortSignal): Promise<void>;
  /** The login is another one now: a try that was refused is repeated at once. */
  loginChanged(): void;
}

/** A channel to an address. `mayTakeReports`: as far as is known a server serves WatchAndReport there. `silentSince`: when that was found silent, if it was. */
type Opened = Readonly<{ address: string; tls: ClientTls; channel: GrpcChannel }> & { mayTakeReports: boolean; silentSince: number | undefined };

/**
 * A channel on which a watch is served. `reports`: takes reports on the stream of the watch; undefined: a server of an earlier release. `end`: the
 * connection is dead, and another one is made.
 */
type Served = Readonly<{ channel: GrpcChannel; reports: ReportStream | undefined; end: (error: NebulaError) => void }>;

/** Opens the connection and keeps it, until the signal is aborted: then the events end. */
export function openWatch(options: WatchOptions): Watch {
  const connection = new Connection(options);
  connection.run().catch((error) => options.log.error({ err: error }, "the watch ended by a fault of its own"));
  return connection;
}

/**
 * 1. There is one channel at a time, and one watch on it.
 * 2. Whether a connection is encrypted is said by the server's URL alone: neither a shard map nor a redirect changes it.
 * 3. Every end of a try is a value; `moves.ts` says what comes next.
 */
class Connection implements Watch {
  readonly #options: WatchOptions;
  readonly #events = new LatestEvents();
  readonly #alarm: Alarm;
  readonly #timing: WatchTiming;
  readonly #reachMs: number;
  #opened: Opened | undefined;
  /** When WatchAndReport was silent, and WatchConfig was not, by address. */
  readonly #silent = new BoundedMap<string, number>(MOST_SILENT);
  #loggedNoReports: string | undefined;
  /** Where the watch is served now. */
  #served: Served | undefined;
  #loggedReason: string | undefined;
  #wasRefused = false;
  #loginFollows = false;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#alarm = new Alarm(options.clock);
    this.#timing = options.timing ?? WATCH_TIMING;
    this.#reachMs = options.reachMs ?? 10_000;
  }

  [Symbol.asyncIterator](): AsyncIterator<WatchEvent> {
    return this.#events[Symbol.asyncIterator]();
  }

  async submit(report: Report, signal: AbortSignal): Promise<void> {
    const served = this.#served;
    if (served === undefined) throw new NebulaError("unavailable", "there is no connection to a manager now");
    const timeoutMs = this.#options.submitLimitMs ?? SUBMIT_LIMIT_MS;
    try {
      if (await served.reports?.submit(report, timeoutMs, signal)) return;
      const options = { headers: headersOf(this.#options.authorization()), timeoutMs, signal };
      await served.channel.unary(ReportService.method.submitReports, { reports: [report] }, options);
    } catch (error) {
      if (isNebulaError(error, "deadline_exceeded")) served.end(new NebulaError("unavailable", `a report had no answer within ${timeoutMs} ms`));
      throw error;
    }
  }

  loginChanged(): void {
    this.#alarm.ring();
  }

  async run(): Promise<void> {
    const { clock, signal } = this.#options;
    const context = { timing: this.#timing, random: this.#options.random ?? Math.random };
    let state = FIRST_STATE;
    let move: Move = { kind: "locate", waitMs: 0 };
    try {
      for (;;) {
        // Only who was refused is woken: a fleet that lost its manager comes back spread out, also if its logins changed meanwhile.
        if (move.waitMs > 0) await (this.#wasRefused ? this.#alarm.wait(move.waitMs, signal) : clock.sleep(move.waitMs, signal));
        this.#alarm.reset();
        if (move.kind === "locate") {
          await this.#options.loginReady?.(signal);
          const outcome: LocateOutcome = await this.#locate();
          ({ state, move } = afterLocate(state, outcome, context));
          if (outcome.kind !== "located") this.#tellLost(outcome, move.waitMs);
        } else {
          const { address, serveHere }: { address: string; serveHere: boolean } = move;
          const outcome: WatchOutcome = await this.#watch(address, serveHere);
          ({ state, move } = afterWatch(state, { address, serveHere }, outcome, context));
          this.#tellEnd(address, outcome, move.waitMs);
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#drop();
      this.#events.close();
    }
  }

  async #locate(): Promise<LocateOutcome> {
    const { server, deviceGroup, deviceId, signal } = this.#options;
    const authorization = this.#options.authorization();
    const outcome = await locateShards({
      server,
      deviceGroup,
      deviceId,
      authorization,
      channelTo: (address) => this.#openedTo(address).channel,
      tls: this.#tls(),
      limitMs: this.#reachMs,
      signal,
    });
    this.#tellRefused(outcome, authorization);
    return outcome;
  }

  #tellRefused(outcome: LocateOutcome | WatchOutcome, authorization: string | undefined): void {
    this.#wasRefused = outcome.kind === "refused" && outcome.problem === "unauthenticated";
    this.#loginFollows = this.#wasRefused && (this.#options.loginRefused?.(authorization) ?? false);
  }

  async #watch(address: string, serveHere: boolean): Promise<WatchOutcome> {
    const { deviceGroup, deviceId, boot, keepaliveMs, heldEtag, clock, signal } = this.#options;
    const opened = this.#openedTo(address);
    const { channel, mayTakeReports } = opened;
    const request = { deviceGroup, deviceId, boot, keepaliveMs, serveHere, etag: heldEtag(), workerVersion: VERSION, features: [...FEATURES] };
    const dead = new AbortController();
    const authorization = this.#options.authorization();
    const outcome = await attemptWatch({
      channel,
      request,
      headers: headersOf(authorization),
      mayTakeReports,
      onNoReports: (why) => {
        opened.mayTakeReports = false;
        if (why.cause === "silent") opened.silentSince = clock.monotonic();
        this.#tellNoReports(address, why);
      },
      reachMs: this.#reachMs,
      answerMs: this.#options.answerMs,
      clock,
      onAnswer: (answer, reports) => {
        if (this.#served === undefined) this.#servedAt(address, { channel, reports, end: (error) => dead.abort(error) });
        this.#answered(answer);
      },
      dead: dead.signal,
      signal,
    });
    this.#served = undefined;
    this.#tellRefused(outcome, authorization);
    const isAnswered = outcome.kind === "ended" || outcome.kind === "redirect" || outcome.kind === "relocate";
    if (isAnswered && opened.silentSince !== undefined) this.#silent.set(address, opened.silentSince);
    if (outcome.kind !== "redirect") this.#drop(); // a channel whose watch ended may hang on a link that is dead
    return outcome;
  }

  /** Logs each reason once, however often it is met. */
  #tellNoReports(address: string, { cause, reason }: NoReports): void {
    const { log } = this.#options;
    const told = `${address}: ${reason}`;
    if (cause === "unimplemented") log.info({ address }, "the manager takes reports by calls alone");
    else if (told === this.#loggedNoReports) log.debug({ address, reason }, HELD_BACK);
    else log.warn({ address, reason }, HELD_BACK);
    this.#loggedNoReports = told;
  }

  #servedAt(address: string, served: Served): void {
    this.#served = served;
    this.#loggedReason = undefined;
    this.#options.log.info({ address }, "connected to a manager");
    this.#events.put({ kind: "connected", address });
  }

  #answered(answer: WatchAnswer): void {
    switch (answer.case) {
      case "config": {
        const { config, etag } = answer.value;
        if (config !== undefined) this.#events.put({ kind: "config", config, etag });
        break;
      }
      case "unchanged":
        this.#events.put({ kind: "unchanged" });
        break;
      case "noSuchGroup":
        this.#events.put({ kind: "no_such_group" });
        break;
      default:
        assertNever(answer);
    }
  }

  /** A redirect of a watch that was never served is only the way to the connection. */
  #tellEnd(address: string, outcome: WatchOutcome, retryInMs: number): void {
    switch (outcome.kind) {
      case "redirect":
        this.#options.log.debug({ address, to: outcome.address }, "another manager serves this device_group");
        break;
      case "relocate":
        this.#tellLost({ kind: outcome.kind, reason: `the manager at ${address} handed the watch over` }, retryInMs);
        break;
      case "ended":
      case "failed":
      case "unreachable":
      case "refused":
        this.#tellLost({ ...outcome, reason: `${address}: ${outcome.reason}` }, retryInMs);
        break;
      default:
        assertNever(outcome);
    }
  }

  /** Logs each reason once, however often it is met. */
  #tellLost(lost: Readonly<{ kind: string; reason: string; problem?: ErrorKind }>, retryInMs: number): void {
    const { reason } = lost;
    const detail = { reason, refused: lost.problem, retryInMs: Math.round(retryInMs) };
    if (lost.kind === "relocate" || this.#loginFollows) this.#options.log.info(detail, "the connection moves");
    else if (reason === this.#loggedReason) this.#options.log.debug(detail, "no connection to a manager");
    else this.#options.log.warn(detail, lost.problem === undefined ? "no connection to a manager" : "the server refuses this worker");
    this.#loggedReason = reason;
    this.#events.put({ kind: "disconnected", reason, refused: lost.problem, retryInMs });
  }

  #openedTo(address: string): Opened {
    const tls = this.#tls();
    if (this.#opened?.address === address && this.#opened.tls === tls) return this.#opened;
    this.#drop(); // 1
    const { server, keepaliveMs } = this.#options;
    const { credentials, options } = isSecure(server)
      ? tlsChannel(address, tls) // 2
      : { credentials: ChannelCredentials.createInsecure(), options: {} };
    const channel = new GrpcChannel(address, credentials, {
      "grpc.keepalive_time_ms": keepaliveMs,
      "grpc.keepalive_timeout_ms": Math.min(LONGEST_PING_MS, keepaliveMs),
      "grpc.max_receive_message_length": LARGEST_MESSAGE,
      "grpc.initial_reconnect_backoff_ms": 1000,
      "grpc.max_reconnect_backoff_ms": 2000,
      "grpc.enable_retries": 0,
      "grpc.service_config_disable_resolution": 1,
      ...options,
    });
    this.#opened = { address, tls, channel, mayTakeReports: !this.#isSilent(address), silentSince: undefined };
    return this.#opened;
  }

  #isSilent(address: string): boolean {
    const since = this.#silent.get(address);
    return since !== undefined && this.#options.clock.monotonic() - since < SILENT_FOR_MS;
  }

  #tls(): ClientTls {
    return this.#options.tls?.() ?? NO_TLS_SETTINGS;
  }

  #drop(): void {
    this.#opened?.channel[Symbol.dispose]();
    this.#opened = undefined;
  }
}

function headersOf(authorization: string | undefined): Readonly<Record<string, string>> {
  return authorization === undefined ? {} : { authorization };
}
