/**
 * The state of one polled device_group in the gateway.
 *
 * G1 The config never goes backwards: configs are merged as a device merges them (R3, R4), from any manager.
 * G2 The answer's bytes are made once per config, not per poll.
 * G3 Without a watch the answer is given for LOST_MS more, while the watch is opened again; after that a poll waits for
 *    the next event.
 */

import type { Clock } from "../../../common/clock/clock.ts";
import { mergeConfig } from "../../../common/config/merge-config.ts";
import type { MergedState } from "../../../common/config/merged-state.ts";
import { assertNever } from "../../../common/errors/assert-never.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { Log } from "../../../common/log/log.ts";
import type { ConfigPush } from "../../../gen/nebula/v1/config_pb.ts";
import type { GroupNews } from "./follow-group.ts";
import { type InfoAnswer, infoAnswer } from "./info-answer.ts";

/** The answer to a poll of the group. */
export type PollAnswer = Readonly<{ kind: "info"; info: InfoAnswer } | { kind: "no_such_group" }>;

/** The time by which a change may be late when its announcement was lost. */
const LOST_MS = 10_000;
/** The time for which a poll waits for the first event of a group. */
const WAIT_MS = 5000;

export type PolledGroupDeps = Readonly<{ deviceGroup: string; clock: Clock; log: Log }>;

export class PolledGroup {
  readonly #deps: PolledGroupDeps;
  readonly #waiting = new Set<() => void>();
  #answer: PollAnswer | undefined;
  #state: MergedState | undefined;
  #etag = "";
  /** When the watch was lost, on the monotonic clock; undefined: it is open. */
  #lostAt: number | undefined;
  /** When it was polled last, on the monotonic clock. */
  polledAt: number;

  constructor(deps: PolledGroupDeps) {
    this.#deps = deps;
    this.#lostAt = deps.clock.monotonic();
    this.polledAt = this.#lostAt;
  }

  /** Etag of the config that is held as it was received; empty: none. */
  get etag(): string {
    return this.#etag;
  }

  /** The answer to a poll now; undefined: no state is known, or it may be outdated. */
  get answer(): PollAnswer | undefined {
    if (this.#lostAt === undefined) return this.#answer;
    return this.#deps.clock.monotonic() - this.#lostAt < LOST_MS ? this.#answer : undefined; // G3
  }

  /** Waits for an answer if none is known; rejects with `unavailable` after some seconds without an event, and when the signal is aborted. */
  async answered(signal: AbortSignal): Promise<PollAnswer> {
    const now = this.answer;
    if (now !== undefined) return now;
    const { clock, deviceGroup } = this.#deps;
    const news = Promise.withResolvers<void>();
    const done = new AbortController();
    this.#waiting.add(news.resolve);
    try {
      await Promise.race([news.promise, clock.sleep(WAIT_MS, AbortSignal.any([signal, done.signal])).catch(() => {})]);
    } finally {
      done.abort();
      this.#waiting.delete(news.resolve);
    }
    const then = this.answer;
    if (then !== undefined) return then;
    throw new NebulaError("unavailable", `no manager tells what device_group ${deviceGroup} runs: call again`, { retryAfterMs: WAIT_MS });
  }

  heard(news: GroupNews): void {
    switch (news.kind) {
      case "config":
        this.#config(news.push);
        break;
      case "unchanged":
        break;
      case "no_such_group":
        this.#answer = { kind: "no_such_group" };
        this.#etag = "";
        break;
      case "lost":
        this.#lostAt ??= this.#deps.clock.monotonic();
        return;
      default:
        assertNever(news);
    }
    this.#lostAt = undefined;
    for (const wake of this.#waiting) wake();
  }

  #config({ config, etag }: ConfigPush): void {
    if (config === undefined) return;
    const { deviceGroup, log } = this.#deps;
    const merged = mergeConfig(this.#state, config); // G1
    switch (merged.kind) {
      case "ignored":
        log.warn({ deviceGroup, reason: merged.reason }, "a config of a polled device_group is ignored");
        return;
      case "new_cluster":
      case "merged":
        this.#etag = merged.kind === "merged" && merged.ignoredEntry ? "" : etag;
        this.#state = merged.state;
        this.#answer = { kind: "info", info: infoAnswer(merged.config) }; // G2
        return;
      default:
        assertNever(merged);
    }
  }
}
