/**
 * What the managers said of a credential and a device_group, kept for a moment: a fleet that polls asks them once every few seconds, not once per poll.
 *
 * V1 A positive verdict is kept for 5 s, a negative one for 1 s, from when it was asked for. What could not be asked is not kept.
 * V2 A verdict is found by SHA-256 of (header, device_group): no credential is kept here.
 * V3 One question per key at a time. A refusal that is meant for the address that asked (too many failed logins) goes to nobody else: others ask for themselves.
 * V4 "Access changed" empties all, and no verdict that was asked for before it is kept, or given to a poll that came after it. One asked for shortly after it may come from a manager that has not
 *    heard of the change yet: it is kept for an instant only, so that new rights count within a second.
 * V5 At most so many verdicts are kept, the oldest goes first. At most so many questions wait, fewer of one address: who floods takes nobody else's place.
 */
import { hash } from "node:crypto";
import { countedAddress } from "../../../common/access/caller-address.ts";
import type { Clock } from "../../../common/clock/clock.ts";
import { isNebulaError, NebulaError } from "../../../common/errors/nebula-error.ts";

/** What a manager says of a call. */
export type VerdictOnPoll = Readonly<{ kind: "allowed" } | { kind: "unauthenticated"; reason: string } | { kind: "denied"; reason: string }>;

/** One poll, as far as it is authorised. */
export type PollCredential = Readonly<{
  /** The Authorization header; empty: there was none. */
  authorization: string;
  deviceGroup: string;
  /** IP address of who polls: failed logins count for it. */
  address: string;
  /** The id under which the poll is found in the logs. */
  requestId: string;
}>;

/** Asks a manager; rejects where none answers, or where this address may not ask now. */
export type AskVerdict = (poll: PollCredential) => Promise<VerdictOnPoll>;

export type KnownVerdictsDeps = Readonly<{ ask: AskVerdict; clock: Clock; mostKept?: number; mostAsked?: number; mostAskedByOne?: number }>;

const ALLOWED_KEPT_MS = 5000;
const REFUSED_KEPT_MS = 1000;
const SETTLING_MS = 900;
const KEPT_WHILE_SETTLING_MS = 100;

type Kept = Readonly<{ verdict: VerdictOnPoll; untilMs: number }>;
type Question = Readonly<{ answer: Promise<VerdictOnPoll>; address: string; round: number }>;

export class KnownVerdicts {
  readonly #ask: AskVerdict;
  readonly #clock: Clock;
  readonly #mostKept: number;
  readonly #mostAsked: number;
  readonly #mostAskedByOne: number;
  readonly #kept = new Map<string, Kept>();
  readonly #asked = new Map<string, Question>();
  #waiting = 0;
  /** By address. */
  readonly #waitingOf = new Map<string, number>();
  /** Counts changes of access. */
  #round = 0;
  #changedAt = Number.NEGATIVE_INFINITY;

  constructor({ ask, clock, mostKept = 50_000, mostAsked = 20_000, mostAskedByOne = 2000 }: KnownVerdictsDeps) {
    this.#ask = ask;
    this.#clock = clock;
    this.#mostKept = mostKept;
    this.#mostAsked = mostAsked;
    this.#mostAskedByOne = mostAskedByOne;
  }

  /** The verdict that is known; undefined: a manager has to be asked. */
  known(authorization: string, deviceGroup: string): VerdictOnPoll | undefined {
    return this.#keptAt(keyOf(authorization, deviceGroup));
  }

  /** The verdict, from a manager where none is known. Rejects as the question does; `unavailable`, or for one address `resource_exhausted`, where too many wait. */
  async verdict(poll: PollCredential): Promise<VerdictOnPoll> {
    const key = keyOf(poll.authorization, poll.deviceGroup);
    const kept = this.#keptAt(key);
    if (kept !== undefined) return kept;
    const question = this.#asked.get(key);
    if (question === undefined || question.round !== this.#round) return await this.#put(key, poll); // V4
    try {
      return await question.answer; // V3
    } catch (error) {
      if (question.address === poll.address || isNebulaError(error, "unavailable")) throw error;
      return await this.#put(key, poll); // V3: it was refused, and not for us
    }
  }

  /** Somebody's rights or credentials changed. */
  accessChanged(): void {
    this.#round++;
    this.#changedAt = this.#clock.monotonic();
    this.#kept.clear(); // V4
  }

  #keptAt(key: string): VerdictOnPoll | undefined {
    const kept = this.#kept.get(key);
    return kept !== undefined && this.#clock.monotonic() < kept.untilMs ? kept.verdict : undefined;
  }

  async #put(key: string, poll: PollCredential): Promise<VerdictOnPoll> {
    if (this.#waiting >= this.#mostAsked)
      throw new NebulaError("unavailable", "too many logins are being checked: call again in a moment", { retryAfterMs: 1000 }); // V5
    if ((this.#waitingOf.get(countedAddress(poll.address)) ?? 0) >= this.#mostAskedByOne)
      throw new NebulaError("resource_exhausted", "too many logins of this address are being checked", { retryAfterMs: 1000 }); // V5
    const question: Question = { answer: this.#askNow(key, poll), address: poll.address, round: this.#round };
    this.#asked.set(key, question);
    try {
      return await question.answer;
    } finally {
      if (this.#asked.get(key) === question) this.#asked.delete(key);
    }
  }

  async #askNow(key: string, poll: PollCredential): Promise<VerdictOnPoll> {
    const [round, askedAt] = [this.#round, this.#clock.monotonic()];
    this.#wait(poll.address, 1);
    try {
      const verdict = await this.#ask(poll);
      if (round === this.#round) this.#keep(key, verdict, askedAt); // V4
      return verdict;
    } finally {
      this.#wait(poll.address, -1);
    }
  }

  #wait(address: string, change: 1 | -1): void {
    const counted = countedAddress(address);
    const waiting = (this.#waitingOf.get(counted) ?? 0) + change;
    this.#waiting += change;
    if (waiting === 0) this.#waitingOf.delete(counted);
    else this.#waitingOf.set(counted, waiting);
  }

  #keep(key: string, verdict: VerdictOnPoll, askedAt: number): void {
    const settling = askedAt < this.#changedAt + SETTLING_MS;
    const keptMs = settling ? KEPT_WHILE_SETTLING_MS : verdict.kind === "allowed" ? ALLOWED_KEPT_MS : REFUSED_KEPT_MS;
    this.#kept.delete(key);
    this.#kept.set(key, { verdict, untilMs: askedAt + keptMs }); // V1
    if (this.#kept.size <= this.#mostKept) return;
    for (const oldest of this.#kept.keys()) return void this.#kept.delete(oldest); // V5
  }
}

/** A header holds no line feed: no two pairs run together. */
function keyOf(authorization: string, deviceGroup: string): string {
  return hash("sha256", `${authorization}\n${deviceGroup}`, "base64"); // V2
}
