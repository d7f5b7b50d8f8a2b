import { authorizationOf, type Credentials } from "../../common/access/authorization.ts";
import { Alarm } from "../../common/clock/alarm.ts";
import { backoffMs, withJitter } from "../../common/clock/backoff.ts";
import type { Clock } from "../../common/clock/clock.ts";
import { isNebulaError, messageOf, NebulaError } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import type { ConfirmedToken, DeviceToken } from "../data/device-token.ts";
import type { SaveOutcome } from "../data/whole-file.ts";
import type { TokenServer } from "./token-server.ts";

const DAY_MS = 86_400_000;
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 5 * 60_000;
/** Log lines that docs/devices.md quotes; a test compares. */
export const TOKEN_NOT_SAVED = "a new token can't be saved, so none is asked for";
export const ENROLMENT_UNFINISHED = "an enrolment was begun and not finished: it goes on once NEBULA_ENROLL_TOKEN holds an enrolment token";
export const TOKEN_UNKNOWN =
  "the server does not know this device's token any more: it was revoked, or the server has another store. What runs is kept";

export type DeviceLoginOptions = Readonly<{
  deviceId: string;
  /** The tokens that the disk holds for this device. */
  kept: DeviceToken | undefined;
  save: (token: DeviceToken) => Promise<SaveOutcome>;
  server: TokenServer;
  /** NEBULA_TOKEN, or user and password: used while there is no confirmed token. */
  credentials: Credentials | undefined;
  enrollToken: string | undefined;
  /** The device_group that the settings name; undefined: the one that the enrolment token leads to. */
  deviceGroup: string | undefined;
  /** How long a token is in use at most, milliseconds; 0: without limit. */
  rotationMs: number;
  /** Makes a secret of 256 random bits. */
  newSecret: () => string;
  clock: Clock;
  log: Log;
  /** From 0 up to 1. */
  random?: () => number;
}>;

/**
 * The login of the device: its own token where it has one, which this enrols and rotates, else the credentials that
 * were given.
 *
 * L1 A secret is on the disk before the server hears of it, and stays there until another one is known to be in its
 *    place: so a kill at any point, and an answer lost at any point, leave a token on the disk that the server knows.
 * L2 The secret of an enrolment stays the same until that is answered: a repeated one uses nothing up.
 * L3 A next token that may have been used already is asked about before the one in use is believed to be good.
 * L4 An enrolment token is used only while there is no confirmed token, or after the server said that it does not know
 *    the confirmed one.
 * L5 The token before a rotation is kept, and tried when the newest is refused: a server that was restored from a
 *    backup knows that one.
 */
export class DeviceLogin {
  readonly #options: DeviceLoginOptions;
  readonly #alarm: Alarm;
  readonly #group = Promise.withResolvers<string>();
  #kept: DeviceToken;
  /** L3: the next token may be the one in use. */
  #isUnclear: boolean;
  /** L4: the server does not know the confirmed token. */
  #isRevoked = false;
  /** L5: nor the one before; this was logged. */
  #isPreviousRefused = false;
  /** Devices that came in together do not rotate together: spread over the last tenth of the time. */
  readonly #rotationMs: number;
  #failures = 0;
  #logged: string | undefined;
  #changed = Promise.withResolvers<void>();
  /** Called when the device logs in with something else from now on. */
  onChanged: () => void = () => {};

  constructor(options: DeviceLoginOptions) {
    this.#options = options;
    this.#alarm = new Alarm(options.clock);
    this.#rotationMs = options.rotationMs * (0.9 + (options.random ?? Math.random)() / 10);
    this.#kept = options.kept ?? { deviceId: options.deviceId, confirmed: undefined, previous: undefined, pending: undefined };
    this.#isUnclear = this.#kept.pending?.kind === "rotating";
    this.#group.promise.catch(() => {}); // each caller of deviceGroup gets the rejection
    const known = this.#kept.confirmed?.deviceGroup ?? options.deviceGroup;
    if (known !== undefined) this.#group.resolve(known);
  }

  /** The device_group, once it is known; rejects with the reason where the run ends before. */
  get deviceGroup(): Promise<string> {
    return this.#group.promise;
  }

  /** The Authorization header for a call now. */
  authorization(): string | undefined {
    const { confirmed } = this.#kept;
    if (confirmed !== undefined) return authorizationOf({ kind: "token", token: confirmed.token });
    return this.#options.credentials && authorizationOf(this.#options.credentials);
  }

  /** Resolves when there is something to log in with, or when there never will be. */
  async ready(signal: AbortSignal): Promise<void> {
    const isWaiting = () => this.#isUnclear || (this.authorization() === undefined && this.#options.enrollToken !== undefined);
    const aborted = Promise.withResolvers<void>();
    const onAbort = () => aborted.reject(signal.reason);
    aborted.promise.catch(() => {});
    signal.addEventListener("abort", onAbort);
    try {
      while (isWaiting()) {
        signal.throwIfAborted();
        await Promise.race([this.#changed.promise, aborted.promise]);
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /**
   * A call with this header was answered `unauthenticated`. Answers whether that was to be expected: another login is
   * there, or on its way.
   */
  refused(authorization: string | undefined): boolean {
    const { confirmed, pending } = this.#kept;
    if (authorization !== this.authorization()) return true;
    if (confirmed === undefined) return false;
    const isRotating = pending?.kind === "rotating";
    if (isRotating)
      this.#isUnclear = true; // L3
    else if (!this.#isRevoked) {
      this.#isRevoked = true;
      this.#isPreviousRefused = false;
      this.#failures = 0;
      if (this.#kept.previous === undefined) this.#noneKnown();
    }
    this.#alarm.ring();
    return isRotating || !this.#isPreviousRefused;
  }

  /** The server knows no token of this device: neither the newest nor the one before. */
  #noneKnown(): void {
    if (this.#isPreviousRefused) return;
    this.#isPreviousRefused = true;
    if (this.#options.enrollToken === undefined) this.#options.log.error(`${TOKEN_UNKNOWN}; give NEBULA_ENROLL_TOKEN a new enrolment token`);
    else this.#options.log.warn(`${TOKEN_UNKNOWN}; the device enrols again`);
  }

  /**
   * Enrols and rotates until the signal is aborted. Rejects with `failed_precondition` where the enrolment leads to
   * another device_group than the settings'.
   */
  async run(signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        const conflict = groupConflict(this.#options.deviceGroup, this.#kept.confirmed);
        if (conflict !== undefined) throw conflict;
        const waitMs = await this.#round(signal);
        if (waitMs > 0) await this.#alarm.wait(waitMs, signal);
      }
    } catch (error) {
      this.#group.reject(error);
      if (!signal.aborted) throw error;
    }
  }

  /** One thing that is to be done; answers how long to wait after it. */
  async #round(signal: AbortSignal): Promise<number> {
    const { confirmed, pending } = this.#kept;
    if (pending?.kind === "enrolling") return this.#tried("the device can't be enrolled", signal, () => this.#enrol(pending.secret, signal));
    if (this.#isRevoked && !this.#isPreviousRefused && confirmed !== undefined) {
      return this.#tried("the device's tokens can't be checked", signal, () => this.#tryPrevious(confirmed, signal)); // L5
    }
    if (this.#isRevoked && this.#options.enrollToken === undefined && confirmed !== undefined) {
      return this.#tried("the device has no token that the server knows", signal, () => this.#askAgain(confirmed, signal));
    }
    if (confirmed === undefined || this.#isRevoked) return this.#begin("enrolling");
    if (pending?.kind === "rotating") {
      return this.#tried("the device's token can't be rotated", signal, () => this.#rotate(confirmed, pending.secret, signal));
    }
    if (this.#rotationMs === 0) return DAY_MS;
    const age = this.#options.clock.now() - confirmed.since;
    if (age >= this.#rotationMs || age < -DAY_MS) return this.#begin("rotating"); // it dates from a time when the clock was wrong
    return Math.min(this.#rotationMs - age, DAY_MS); // not longer: the clock may be set meanwhile
  }

  /** L1: nothing is begun that is not on the disk. */
  async #begin(kind: "enrolling" | "rotating"): Promise<number> {
    const { enrollToken, newSecret } = this.#options;
    if (kind === "enrolling" && enrollToken === undefined) return DAY_MS;
    const begun = { ...this.#kept, pending: { kind, secret: newSecret() } };
    const saved = await this.#options.save(begun);
    if (saved.kind === "not_saved") return this.#failed(TOKEN_NOT_SAVED, saved.reason);
    this.#kept = begun;
    return 0;
  }

  async #enrol(secret: string, signal: AbortSignal): Promise<number> {
    const { enrollToken, server, deviceId, log, clock } = this.#options;
    const { confirmed } = this.#kept;
    if (enrollToken === undefined) {
      this.#logOnce(ENROLMENT_UNFINISHED);
      return DAY_MS;
    }
    let deviceGroup: string;
    try {
      deviceGroup = await server.enroll(enrollToken, deviceId, secret, signal);
    } catch (error) {
      // The server knows another token: that may be the confirmed one, refused by mistake.
      if (!isNebulaError(error, "already_exists") || confirmed === undefined || !(await this.#isKnown(confirmed.token, confirmed, signal)))
        throw error;
      log.info("the server knows this device's token again");
      await this.#settle(confirmed, this.#kept.previous);
      return 0;
    }
    log.info({ deviceId, deviceGroup }, "this device is enrolled: it has a token of its own");
    await this.#settle({ token: secret, deviceGroup, since: clock.now() }, undefined);
    return 0;
  }

  /** A server that knew no token of this device may be another, or be restored, by now. */
  async #askAgain(confirmed: ConfirmedToken, signal: AbortSignal): Promise<number> {
    if (await this.#isKnown(confirmed.token, confirmed, signal)) {
      this.#isRevoked = false;
      return 0;
    }
    return (await this.#isPreviousKnown(confirmed, signal)) ? 0 : LONGEST_RETRY_MS;
  }

  /** L5 */
  async #tryPrevious(confirmed: ConfirmedToken, signal: AbortSignal): Promise<number> {
    if (!(await this.#isPreviousKnown(confirmed, signal))) this.#noneKnown();
    return 0;
  }

  /**
   * Whether the server knows the token from before the rotation: then it is the confirmed one, and the refused one is
   * kept beside it.
   */
  async #isPreviousKnown(confirmed: ConfirmedToken, signal: AbortSignal): Promise<boolean> {
    const { previous } = this.#kept;
    if (previous === undefined || !(await this.#isKnown(previous.token, previous, signal))) return false;
    this.#options.log.warn("the server knows the token from before the last rotation alone: it was restored from a backup. That token is used again");
    await this.#settle(previous, confirmed);
    return true;
  }

  #isKnown(token: string, { deviceGroup }: ConfirmedToken, signal: AbortSignal): Promise<boolean> {
    return this.#options.server.isKnown(token, { deviceId: this.#options.deviceId, deviceGroup }, signal);
  }

  async #rotate(confirmed: ConfirmedToken, next: string, signal: AbortSignal): Promise<number> {
    const { server, clock, log } = this.#options;
    const exchanged = async () => {
      log.info("the device's token is rotated: the one before has ended");
      await this.#settle({ ...confirmed, token: next, since: clock.now() }, confirmed); // L5
      return 0;
    };
    if (this.#isUnclear && (await this.#isKnown(next, confirmed, signal))) return exchanged(); // L3
    this.#setUnclear(false);
    try {
      await server.announce(confirmed.token, next, signal);
    } catch (error) {
      if (!isNebulaError(error, "unauthenticated")) throw error;
      this.#kept = { ...this.#kept, pending: undefined }; // neither is known; on the disk both stay until there is another
      this.refused(this.authorization());
      return 0;
    }
    this.#setUnclear(true);
    if (await this.#isKnown(next, confirmed, signal)) return exchanged();
    throw new NebulaError("unavailable", "the server took the next token, and does not know it");
  }

  /** From now on the device has this token. A question whose answer is not saved is asked again after the next start. */
  async #settle(confirmed: ConfirmedToken, previous: ConfirmedToken | undefined): Promise<void> {
    this.#kept = { ...this.#kept, confirmed, previous, pending: undefined };
    this.#isRevoked = false;
    this.#isUnclear = false;
    this.#failures = 0;
    this.#logged = undefined;
    const saved = await this.#options.save(this.#kept);
    if (saved.kind === "not_saved") this.#options.log.warn({ reason: saved.reason }, "the device's token can't be saved as the one in use yet");
    this.#group.resolve(confirmed.deviceGroup);
    this.#tellChanged();
  }

  #setUnclear(isUnclear: boolean): void {
    if (this.#isUnclear === isUnclear) return;
    this.#isUnclear = isUnclear;
    this.#tellChanged();
  }

  #tellChanged(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
    this.onChanged();
  }

  async #tried(what: string, signal: AbortSignal, attempt: () => Promise<number>): Promise<number> {
    try {
      return await attempt();
    } catch (error) {
      signal.throwIfAborted();
      return this.#failed(what, messageOf(error));
    }
  }

  /** Logs each reason once, however often it is met; answers how long to wait. */
  #failed(what: string, reason: string): number {
    this.#failures++;
    const waitMs = withJitter(backoffMs({ firstMs: FIRST_RETRY_MS, longestMs: LONGEST_RETRY_MS }, this.#failures), this.#options.random);
    this.#logOnce(what, reason, waitMs);
    return waitMs;
  }

  #logOnce(what: string, reason = "", waitMs?: number): void {
    const { log } = this.#options;
    const detail = { reason, ...(waitMs === undefined ? {} : { retryInMs: Math.round(waitMs) }) };
    if (this.#logged === what + reason) log.debug(detail, what);
    else log.warn(detail, what);
    this.#logged = what + reason;
  }
}

/** Why a token cannot be used by a worker whose settings name this device_group; undefined: it can. */
export function groupConflict(given: string | undefined, confirmed: ConfirmedToken | undefined): NebulaError | undefined {
  if (given === undefined || confirmed === undefined || given === confirmed.deviceGroup) return undefined;
  const bound = confirmed.deviceGroup;
  return new NebulaError(
    "failed_precondition",
    `this device's token is bound to the device_group '${bound}', and NEBULA_DEVICE_GROUP is '${given}': leave NEBULA_DEVICE_GROUP out, or give it '${bound}'. ` +
      `To move the device, revoke its token (nebulactl devices revoke ID), remove device-token.json from NEBULA_WORKER_DATA, and give it an enrolment token of '${given}'`,
  );
}
