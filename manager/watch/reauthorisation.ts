/**
 * Whether the open watches are still allowed, looked at anew whenever what credentials may do has changed.
 *
 * E1 In every round of access each credential with an open watch is looked up once, however many watches it opened: those named on the feed at once, the
 *    others paced, in the order in which they fell behind, so that all are done within `withinMs`.
 * E2 A watch ends when its credential is valid no more (UNAUTHENTICATED), or may not watch its group any more (PERMISSION_DENIED); nothing else ends it here:
 *    while the store can't be read the watch goes on, and its credential is tried again.
 * E3 A watch that opens while a round begins is looked at, too.
 * E4 A credential that is found valid is known again: its next call needs no read.
 */
import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../../common/clock/clock.ts";
import { isNebulaError, messageOf, NebulaError } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import type { Access } from "../access/access.ts";
import { isBehind, type Login } from "../access/login.ts";
import { watchNeed } from "../access/method-table.ts";
import { permit } from "../access/permit.ts";

const SLICE_MS = 100;
/** The part of the time that the pace is made for: the rest is for what it waits for meanwhile. */
const USED = 0.7;
/** Lookups at once. */
const AT_ONCE = 16;
/** After a lookup that failed, milliseconds. */
const RETRY_MS = 1000;
/** Watches ended in one turn of the event loop. */
const BATCH = 256;

/** An open watch, as far as it matters here. */
export type AuthorisedStream = { readonly watcher: { readonly login: Login; readonly deviceId: string }; readonly group: { readonly name: string } };

export type ReauthorisationDeps = Readonly<{
  access: Pick<Access, "rounds" | "verified"> & Readonly<{ stored: Pick<Access["stored"], "again"> }>;
  clock: Clock;
  log: Log;
  withinMs: number;
  signal: AbortSignal;
}>;

export type ReauthorisationTarget<Stream> = {
  /** Every open watch. */
  streams(): Iterable<Stream>;
  /** Ends one. */
  refuse(stream: Stream, error: NebulaError): void;
};

export class Reauthorisation<Stream extends AuthorisedStream> {
  /** Resolves when the signal was aborted and the store is not being read any more. */
  readonly done: Promise<void>;
  readonly #deps: ReauthorisationDeps;
  readonly #target: ReauthorisationTarget<Stream>;
  /** Credentials that are behind; a Set keeps the order in which they came. */
  readonly #behind = new Set<Login>();
  #perSlice = 1;
  /** Who was named in the rounds whose watches were not gone through yet; undefined: there is no such round. */
  #named: Set<string> | undefined;
  #failing = false;
  #wake: () => void = () => {};

  /** Runs until the signal is aborted. */
  constructor(deps: ReauthorisationDeps, target: ReauthorisationTarget<Stream>) {
    this.#deps = deps;
    this.#target = target;
    deps.access.rounds.listen({
      began: (subjects) => {
        this.#named = new Set([...(this.#named ?? []), ...subjects]);
        this.#wake();
      },
      lost: () => {}, // E2
    });
    deps.signal.addEventListener("abort", () => this.#wake(), { once: true });
    this.done = this.#run();
  }

  /** E3: a watch opened with this credential. */
  opened(login: Login): void {
    if (!isBehind(login, this.#deps.access.rounds.current)) return;
    this.#behind.add(login);
    this.#wake();
  }

  async #run(): Promise<void> {
    const { clock, signal } = this.#deps;
    while (!signal.aborted) {
      if (this.#named === undefined && this.#behind.size === 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      const named = this.#begin();
      const next = this.#nextSlice();
      if (named.length + next.length === 0) continue;
      const isFine = (await this.#lookUp(named)) && (await this.#lookUp(next));
      await clock.sleep(isFine ? SLICE_MS : RETRY_MS, signal).catch(() => {});
    }
  }

  /** Goes through the watches where a round has begun; answers the credentials that were named. */
  #begin(): readonly Login[] {
    const subjects = this.#named;
    if (subjects === undefined) return [];
    this.#named = undefined;
    const first = new Set<Login>();
    const { current } = this.#deps.access.rounds;
    for (const { watcher } of this.#target.streams()) {
      if (isBehind(watcher.login, current)) (isNamed(watcher.login, subjects) ? first : this.#behind).add(watcher.login);
    }
    for (const login of first) this.#behind.delete(login);
    this.#perSlice = Math.max(1, Math.ceil((this.#behind.size * SLICE_MS) / (this.#deps.withinMs * USED)));
    return [...first];
  }

  #nextSlice(): readonly Login[] {
    const logins: Login[] = [];
    for (const login of this.#behind) {
      if (logins.push(login) === this.#perSlice) break;
    }
    for (const login of logins) this.#behind.delete(login);
    return logins;
  }

  /** Looks credentials up, and ends the watches that are not allowed any more; false: some could not be looked up. */
  async #lookUp(logins: readonly Login[]): Promise<boolean> {
    const touched = new Set<Login>();
    let isFine = true;
    for (let from = 0; from < logins.length; from += AT_ONCE) {
      const results = await Promise.all(logins.slice(from, from + AT_ONCE).map((login) => this.#lookUpOne(login, touched)));
      isFine &&= results.every((fine) => fine);
    }
    if (touched.size > 0) await this.#sweep(touched);
    return isFine;
  }

  /** @param touched gets the login if its watches have to be looked at */
  async #lookUpOne(login: Login, touched: Set<Login>): Promise<boolean> {
    const { rounds, stored, verified } = this.#deps.access;
    const round = rounds.current;
    try {
      const found = await stored.again(login.verified);
      if (this.#failing) this.#deps.log.info("the credentials of open watches can be looked up again");
      this.#failing = false;
      if (found === undefined) {
        login.ended = true;
        verified.refuse(login.id);
        touched.add(login);
        return true;
      }
      if (!isSameDevice(login.verified.principal, found.principal)) touched.add(login);
      login.verified = found;
      login.round = round;
      if (round === rounds.current)
        verified.add(login); // E4
      else this.#behind.add(login);
      return true;
    } catch (error) {
      if (!this.#failing)
        this.#deps.log.warn({ error: messageOf(error) }, "the credentials of open watches can't be looked up; they are tried again");
      this.#failing = true;
      this.#behind.add(login); // E2
      return false;
    }
  }

  async #sweep(touched: ReadonlySet<Login>): Promise<void> {
    let ended = 0;
    for (const stream of this.#target.streams()) {
      if (!touched.has(stream.watcher.login)) continue;
      const error = refusalOf(stream);
      if (error === undefined) continue;
      this.#target.refuse(stream, error);
      if (++ended % BATCH === 0) await turn();
    }
  }
}

/** Whether a feed event was about this credential. */
function isNamed({ verified: { principal, userGroups } }: Login, subjects: ReadonlySet<string>): boolean {
  if (subjects.size === 0) return false;
  if (principal.kind === "device") return subjects.has(`device/${principal.deviceId}`);
  if (principal.kind !== "user") return false;
  return subjects.has(`user/${principal.name}`) || userGroups.some((group) => subjects.has(`user_group/${group}`));
}

/** A device's token never gets other rights, only another device_group. */
function isSameDevice(before: Login["verified"]["principal"], after: Login["verified"]["principal"]): boolean {
  return before.kind === "device" && after.kind === "device" && before.deviceGroup === after.deviceGroup;
}

/** E2: why a watch may not go on; undefined: it may. */
function refusalOf({ watcher: { login, deviceId }, group }: AuthorisedStream): NebulaError | undefined {
  if (login.ended)
    return new NebulaError("unauthenticated", "the credential of this watch is valid no more: it was revoked or replaced, or its user was deleted");
  try {
    permit(login.verified.principal, watchNeed(group.name, deviceId), true);
    return undefined;
  } catch (error) {
    if (isNebulaError(error)) return error;
    throw error;
  }
}
