/**
 * One watch: what its device was told, and what it still has to be told.
 *
 * S1 At most one write is in flight.
 * S2 There is no queue: what is pending is whatever the group's newest answer is when the write in flight is done (latest wins), so a device that
 *    does not read costs the one message that is in flight.
 * S3 After the end nothing is written any more.
 *
 * There is one of these per connected device: fields are few, and there are no timers, signals or promises among them.
 */
import type { NebulaError } from "../../common/errors/nebula-error.ts";
import type { Login } from "../access/login.ts";
import { UNCHANGED, type WatchAnswer } from "./watch-answer.ts";

/** Where a watch is written to. */
export type SlotCall = {
  /** @param written called when the answer is on its way; never, when the call ends before */
  write(answer: WatchAnswer, written: () => void): void;
  /** Ends the call after what was written. */
  end(): void;
  fail(error: NebulaError): void;
};

/** The connection of a watch: how much was heard on it, and its end. */
export type Connection = { readonly bytesRead: number; destroy(): void };

/** Who watches, as the request says. */
export type Watcher = Readonly<{
  /** Empty: nobody's presence. */
  deviceId: string;
  boot: string;
  keepaliveMs: number;
  /** Served whoever owns the group: until the membership changes next. */
  serveHere: boolean;
  /** Under the part token: no presence, no part in `spread`. */
  viaPart: boolean;
  /** The credential that it was opened with, shared by all its watches. */
  login: Login;
}>;

/** What a stream asks of the group that it is in. */
export type SlotGroup = {
  /** What was looked up last; it may not be told any more. */
  readonly loaded: { readonly answer: WatchAnswer } | undefined;
  /** The answer of now; undefined: it is being looked up, and will be offered. */
  readonly answer: WatchAnswer | undefined;
  /** Monotonic milliseconds, whole. */
  now(): number;
  /** A config was sent, to a stream that had it not. */
  pushed(): void;
};

/** How a stream ended, for the metrics. */
export type EndReason = "closed" | "replaced" | "redirected" | "refused" | "stopping" | "silent" | "unanswered";

export class StreamSlot<Group extends SlotGroup = SlotGroup> {
  readonly watcher: Watcher;
  readonly group: Group;
  readonly connection: Connection | undefined;
  /** How often the membership had changed when it was opened. */
  readonly openedAt: number;
  readonly #call: SlotCall;
  /** Etag of what was sent last, or of what the device said it holds; empty: no such group, or none. */
  #told: string;
  #greeted = false;
  #inFlight = false;
  #ended = false;
  /** Bytes heard on the connection when it was last looked at, and when that number was first seen. */
  #heardBytes: number;
  #heardAt: number;
  /** Bytes heard when the oldest push that was not answered yet was sent, and when that was; -1: none. */
  #pushBytes = -1;
  #pushedAt = 0;

  /** @param etag what the device says it holds */
  constructor(call: SlotCall, group: Group, watcher: Watcher, connection: Connection | undefined, etag: string, openedAt: number) {
    this.#call = call;
    this.group = group;
    this.watcher = watcher;
    this.connection = connection;
    this.openedAt = openedAt;
    this.#told = etag;
    this.#heardBytes = connection?.bytesRead ?? 0;
    this.#heardAt = group.now();
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Whether it got any answer yet. */
  get greeted(): boolean {
    return this.#greeted;
  }

  /** Sends the group's answer if the device was told another one last, and nothing is in flight (W2). */
  advance(): void {
    if (this.#inFlight || this.#ended) return; // S1, S3
    if (this.#greeted && this.#told === this.group.loaded?.answer.etag) return; // mostly so after a write: no more is asked
    const answer = this.group.answer;
    if (answer === undefined) return;
    if (this.#greeted) {
      if (this.#told !== answer.etag) this.#send(answer);
      return;
    }
    this.#greeted = true;
    const holdsIt = answer.etag !== "" && answer.etag === this.#told;
    this.#told = answer.etag;
    this.#send(holdsIt ? UNCHANGED : answer);
  }

  #send(answer: WatchAnswer): void {
    this.#inFlight = true;
    if (answer !== UNCHANGED) this.#told = answer.etag;
    if (answer.etag !== "") this.#notePush();
    this.#call.write(answer, () => {
      this.#inFlight = false;
      this.advance(); // S2, W2
    });
  }

  #notePush(): void {
    this.group.pushed();
    const heard = this.connection?.bytesRead ?? 0;
    if (this.#pushBytes === heard) return; // an older push waits for its answer already
    this.#pushBytes = heard;
    this.#pushedAt = this.group.now();
  }

  /** Says a last word, and ends the stream. */
  finish(last: WatchAnswer): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#call.write(last, () => {});
    this.#call.end();
  }

  /** Ends the stream with an error. */
  fail(error: NebulaError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#call.fail(error);
  }

  /** The stream is over: its peer ended it. */
  gone(): void {
    this.#ended = true;
  }

  /**
   * Looks at how much was heard on the connection.
   * @param now monotonic milliseconds
   * @param answerMs how long after a push something has to be heard
   */
  silence(now: number, answerMs: number): "silent" | "unanswered" | undefined {
    const heard = this.connection?.bytesRead;
    if (heard === undefined) return undefined;
    if (heard !== this.#heardBytes) {
      this.#heardBytes = heard;
      this.#heardAt = now;
      return undefined;
    }
    if (now - this.#heardAt > 2.5 * this.watcher.keepaliveMs) return "silent";
    const mustAnswer = this.watcher.deviceId !== "" && !this.watcher.viaPart;
    return mustAnswer && this.#pushBytes === heard && now - this.#pushedAt > answerMs ? "unanswered" : undefined;
  }
}
