/**
 * The verdicts of managers on a credential and a device_group, cached for a moment: a fleet that polls asks managers
 * once every few seconds, not once per poll.
 *
 * V1 A positive verdict is kept for 5 s, a negative one for 1 s, from when it was asked for. A question that failed
 *    leaves no verdict.
 * V2 A verdict is found by SHA-256 of (header, device_group): no credential is kept here.
 * V3 One question per key at a time. A refusal that is meant for the address that asked (too many failed logins) is
 *    passed to no other: other addresses ask for themselves.
 * V4 "Access changed" of a user or a device evicts the verdicts on that caller alone, of a session those on callers that
 *    managers do not name, and of a user_group or anything else all of them. A verdict that was asked for before the
 *    change is not kept, nor given to a poll that came after it. A verdict that was asked for shortly after it may come
 *    from a manager that has not received the change yet: it is kept for an instant only, so that new rights count
 *    within a second.
 * V5 A bounded number of verdicts is kept, the oldest is evicted. A bounded number of questions waits, fewer of one
 *    address: a flood takes no place of others.
 */

import { hash } from "node:crypto";
import { countedAddress } from "../../../common/access/caller-address.ts";
import { BoundedMap } from "../../../common/bounded-map.ts";
import type { Clock } from "../../../common/clock/clock.ts";
import { isNebulaError, NebulaError } from "../../../common/errors/nebula-error.ts";
import type { AccessVerdict } from "../../api/access-verdict.ts";

/** The verdict of a manager on a call. */
export type VerdictOnPoll = AccessVerdict;

/** One poll, as far as it is authorised. */
export type PollCredential = Readonly<{
  /** The Authorization header; empty: there was none. */
  authorization: string;
  deviceGroup: string;
  /** IP address of the poller: failed logins count for it. */
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

/** `change`: the number of the newest change of access when it was asked for. */
type Kept = Readonly<{ verdict: VerdictOnPoll; untilMs: number; change: number }>;
type Question = Readonly<{ answer: Promise<VerdictOnPoll>; address: string; change: number }>;
type Change = Readonly<{ number: number; at: number }>;

const NO_CHANGE: Change = { number: 0, at: Number.NEGATIVE_INFINITY };
/** The most subjects whose changes are remembered; an evicted one counts as a change of all. */
const MOST_SUBJECTS = 1000;

export class KnownVerdicts {
  readonly #ask: AskVerdict;
  readonly #clock: Clock;
  readonly #mostAsked: number;
  readonly #mostAskedByOne: number;
  readonly #kept: BoundedMap<string, Kept>; // V5
  readonly #asked = new Map<string, Question>();
  #waiting = 0;
  /** By address. */
  readonly #waitingOf = new Map<string, number>();
  /** Counts changes of access. */
  #changes = 0;
  #newest = NO_CHANGE;
  /** The newest change that concerned all callers. */
  #changeOfAll = NO_CHANGE;
  /** The newest change of each user and device, oldest first. */
  readonly #changeOf = new BoundedMap<string, Change>(MOST_SUBJECTS, (forgotten) => {
    this.#changeOfAll = forgotten;
  });

  constructor({ ask, clock, mostKept = 50_000, mostAsked = 20_000, mostAskedByOne = 2000 }: KnownVerdictsDeps) {
    this.#ask = ask;
    this.#clock = clock;
    this.#kept = new BoundedMap(mostKept);
    this.#mostAsked = mostAsked;
    this.#mostAskedByOne = mostAskedByOne;
  }

  /** The cached verdict; undefined: a manager has to be asked. */
  known(authorization: string, deviceGroup: string): VerdictOnPoll | undefined {
    return this.#keptAt(keyOf(authorization, deviceGroup));
  }

  /**
   * The verdict, from a manager if none is cached. Rejects as the question does, and if too many wait: with
   * `unavailable`, or for one address with `resource_exhausted`.
   */
  async verdict(poll: PollCredential): Promise<VerdictOnPoll> {
    const key = keyOf(poll.authorization, poll.deviceGroup);
    const kept = this.#keptAt(key);
    if (kept !== undefined) return kept;
    const question = this.#asked.get(key);
    if (question === undefined || question.change !== this.#changes) return await this.#put(key, poll); // V4
    try {
      return await question.answer; // V3
    } catch (error) {
      if (question.address === poll.address || isNebulaError(error, "unavailable")) throw error;
      return await this.#put(key, poll); // V3: the refusal was meant for another address
    }
  }

  /** Evicts verdicts after a change of rights or credentials: of the subject, or of all (undefined: the subject is unknown). */
  accessChanged(subject: string | undefined): void {
    const change = { number: ++this.#changes, at: this.#clock.monotonic() };
    this.#newest = change;
    if (subject?.startsWith("session/") === true) return; // any user ends sessions
    if (subject === undefined || !/^(user|device)\//.test(subject)) {
      this.#changeOfAll = change;
      this.#changeOf.clear();
      this.#kept.clear(); // V4
      return;
    }
    this.#changeOf.set(subject, change);
  }

  /** The newest change that may concern a verdict on this subject. */
  #changeOn(subject: string): Change {
    if (subject === "") return this.#newest;
    const own = this.#changeOf.get(subject);
    return own !== undefined && own.number > this.#changeOfAll.number ? own : this.#changeOfAll;
  }

  #keptAt(key: string): VerdictOnPoll | undefined {
    const kept = this.#kept.get(key);
    if (kept === undefined || this.#clock.monotonic() >= kept.untilMs) return undefined;
    return this.#changeOn(kept.verdict.subject).number <= kept.change ? kept.verdict : undefined; // V4
  }

  async #put(key: string, poll: PollCredential): Promise<VerdictOnPoll> {
    if (this.#waiting >= this.#mostAsked)
      throw new NebulaError("unavailable", "too many logins are being checked: call again in a moment", { retryAfterMs: 1000 }); // V5
    if ((this.#waitingOf.get(countedAddress(poll.address)) ?? 0) >= this.#mostAskedByOne)
      throw new NebulaError("resource_exhausted", "too many logins of this address are being checked", { retryAfterMs: 1000 }); // V5
    const question: Question = { answer: this.#askNow(key, poll), address: poll.address, change: this.#changes };
    this.#asked.set(key, question);
    try {
      return await question.answer;
    } finally {
      if (this.#asked.get(key) === question) this.#asked.delete(key);
    }
  }

  async #askNow(key: string, poll: PollCredential): Promise<VerdictOnPoll> {
    const [change, askedAt] = [this.#changes, this.#clock.monotonic()];
    this.#wait(poll.address, 1);
    try {
      const verdict = await this.#ask(poll);
      if (this.#changeOn(verdict.subject).number <= change) this.#keep(key, verdict, askedAt, change); // V4
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

  #keep(key: string, verdict: VerdictOnPoll, askedAt: number, change: number): void {
    const settling = askedAt < this.#changeOn(verdict.subject).at + SETTLING_MS;
    const keptMs = settling ? KEPT_WHILE_SETTLING_MS : verdict.kind === "allowed" ? ALLOWED_KEPT_MS : REFUSED_KEPT_MS;
    this.#kept.set(key, { verdict, untilMs: askedAt + keptMs, change }); // V1
  }
}

/** A header holds no line feed, so the keys of two pairs differ. */
function keyOf(authorization: string, deviceGroup: string): string {
  return hash("sha256", `${authorization}\n${deviceGroup}`, "base64"); // V2
}
