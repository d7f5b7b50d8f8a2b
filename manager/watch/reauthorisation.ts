/**
 * Whether the open watches are still allowed, looked at again when what credentials may do has changed.
 *
 * E1 A named credential with an open watch is read at once, once for all of its watches, and no other is (index of
 *    streams by credential).
 * E2 In every generation of access each credential with an open watch is read once, paced, in the order in which it
 *    fell behind: those of users within `usersWithinMs`, those of devices within DEVICES_WITHIN_MS.
 * E3 Each credential with an open watch is read at least every LONGEST_UNREAD_MS, which bounds a revocation whose stamp
 *    was lost. Sessions are read when they are due (access-generations.ts).
 * E4 A watch ends when its credential is valid no more (UNAUTHENTICATED), or may not watch its group any more
 *    (PERMISSION_DENIED); nothing else ends it here: while the store can't be read the watch goes on, and its
 *    credential is tried again.
 * E5 A watch that opens with a credential that is behind is looked at, too.
 * E6 A credential that is found valid is known again: its next call needs no read.
 * E7 A call on an open watch counts by the credential as any other call does: one that is behind, too old, or a session that has expired, is read first, once
 *    for all calls that wait. While the store can't be read it counts as it was, unless it was named, or is too old.
 */
import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../../common/clock/clock.ts";
import { isNebulaError, messageOf, NebulaError } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import type { Access } from "../access/access.ts";
import { watchNeed } from "../access/rights/method-table.ts";
import { assertPermitted } from "../access/rights/permit.ts";
import { isBehind, LONGEST_UNREAD_MS, type Login, subjectsOf } from "../access/verified-credentials.ts";

/** E2, milliseconds. */
export const DEVICES_WITHIN_MS = 5 * 60_000;
/** E3: from this age on a credential waits for its turn, milliseconds. */
const OLD_MS = LONGEST_UNREAD_MS - DEVICES_WITHIN_MS - 60_000;
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
  access: Pick<Access, "generations" | "verified" | "index"> & Readonly<{ stored: Pick<Access["stored"], "again"> }>;
  clock: Clock;
  log: Log;
  usersWithinMs: number;
  signal: AbortSignal;
}>;

/**
 * Credentials that wait for their turn, and the pace at which they have it. A Set keeps the order in which they came.
 */
type Queue = { readonly waiting: Set<Login>; readonly withinMs: number; perSlice: number };

export class Reauthorisation<Stream extends AuthorisedStream> {
  /** Resolves when the signal was aborted and the store is not being read any more. */
  readonly done: Promise<void>;
  readonly #deps: ReauthorisationDeps;
  readonly #refuse: (stream: Stream, error: NebulaError) => void;
  /** The open watches of each credential; a single one stands for itself: a device has one. */
  readonly #streams = new Map<Login, Stream | Set<Stream>>();
  readonly #named = new Set<Login>();
  readonly #users: Queue;
  readonly #devices: Queue = { waiting: new Set(), withinMs: DEVICES_WITHIN_MS, perSlice: 1 };
  /** Every credential with an open watch, that was read longest ago first. */
  readonly #byAge = new Set<Login>();
  /** Those of them that are sessions. */
  readonly #sessions = new Set<Login>();
  /** E7: reads under way that calls wait for. */
  readonly #renewing = new Map<Login, Promise<void>>();
  #failing = false;
  #wake = new AbortController();

  /**
   * Runs until the signal is aborted.
   * @param refuse ends a watch
   */
  constructor(deps: ReauthorisationDeps, refuse: (stream: Stream, error: NebulaError) => void) {
    this.#deps = deps;
    this.#refuse = refuse;
    this.#users = { waiting: new Set(), withinMs: deps.usersWithinMs, perSlice: 1 };
    deps.access.generations.listen({
      named: (subject) => {
        for (const login of deps.access.index.of(subject)) if (login.isSuspect && this.#streams.has(login)) this.#enqueueNamed(login); // E1
      },
      sessionsDue: () => {
        for (const login of this.#sessions) this.#users.waiting.add(login); // E3
        this.#setPace();
        this.#wake.abort();
      },
      began: () => {
        for (const login of this.#streams.keys()) this.#enqueue(login); // E2
        this.#setPace();
      },
    });
    this.done = this.#run();
  }

  /** A watch opened. */
  opened(stream: Stream): void {
    const { login } = stream.watcher;
    const known = this.#streams.get(login);
    if (known instanceof Set) known.add(stream);
    else if (known !== undefined) this.#streams.set(login, new Set([known, stream]));
    else if (login.verified.source.kind !== "configured") {
      this.#streams.set(login, stream);
      this.#deps.access.index.hold(login);
      this.#byAge.add(login);
      if (login.verified.source.kind === "session") this.#sessions.add(login);
      if (this.#byAge.size === 1) this.#wake.abort(); // E3
    }
    if (login.isSuspect)
      this.#enqueueNamed(login); // E5
    else this.#enqueue(login);
  }

  /** A watch ended, for any reason. */
  closed(stream: Stream): void {
    const { login } = stream.watcher;
    const known = this.#streams.get(login);
    const isLast = known instanceof Set ? known.delete(stream) && known.size === 0 : known === stream;
    if (!isLast) return;
    this.#streams.delete(login);
    for (const waiting of [this.#named, this.#users.waiting, this.#devices.waiting, this.#byAge, this.#sessions]) waiting.delete(login);
    this.#deps.access.index.release(login);
  }

  /**
   * Has a credential with an open watch read before a call of that watch counts (E7); undefined: it counts as it is. Rejects with `unauthenticated` where it is
   * valid no more, and with `unavailable` where it does not count and can't be read.
   */
  renew(login: Login): Promise<void> | undefined {
    if (login.ended) return Promise.reject(noMore());
    const { generations, verified } = this.#deps.access;
    if (!isBehind(login, generations.current) && verified.isRecent(login)) return undefined;
    const known = this.#renewing.get(login);
    if (known !== undefined) return known;
    const renewing = this.#renewed(login).finally(() => this.#renewing.delete(login));
    this.#renewing.set(login, renewing);
    return renewing;
  }

  async #renewed(login: Login): Promise<void> {
    await this.#lookUp(new Set([login]));
    if (login.ended) throw noMore();
    if (login.isSuspect || !this.#deps.access.verified.isRecent(login))
      throw new NebulaError("unavailable", "the credential of this watch cannot be read now: send the reports again", { retryAfterMs: RETRY_MS });
  }

  #enqueueNamed(login: Login): void {
    this.#named.add(login);
    this.#wake.abort();
  }

  #enqueue(login: Login): void {
    if (!isBehind(login, this.#deps.access.generations.current)) return;
    this.#queueOf(login).waiting.add(login);
    this.#wake.abort();
  }

  #queueOf({ verified }: Login): Queue {
    return verified.principal.kind === "device" ? this.#devices : this.#users;
  }

  #setPace(): void {
    for (const queue of [this.#users, this.#devices]) {
      queue.perSlice = Math.max(1, Math.ceil((queue.waiting.size * SLICE_MS) / (queue.withinMs * USED)));
    }
  }

  async #run(): Promise<void> {
    const { clock, signal } = this.#deps;
    const pause = (ms: number, until: AbortSignal) => clock.sleep(ms, until).catch(() => {});
    while (!signal.aborted) {
      this.#wake = new AbortController();
      const nextOldMs = this.#enqueueOld();
      const next = this.#nextSlice();
      if (next.size === 0) {
        await pause(nextOldMs, AbortSignal.any([signal, this.#wake.signal]));
        continue;
      }
      const isFine = await this.#lookUp(next);
      await pause(isFine ? SLICE_MS : RETRY_MS, signal);
    }
  }

  /** E3: answers when to look again, in milliseconds. */
  #enqueueOld(): number {
    const now = this.#deps.clock.monotonic();
    let isAny = false;
    let nextMs = OLD_MS;
    for (const login of this.#byAge) {
      const age = now - login.readAt;
      if (age < OLD_MS) {
        nextMs = OLD_MS - age;
        break;
      }
      this.#byAge.delete(login);
      this.#queueOf(login).waiting.add(login);
      isAny = true;
    }
    if (isAny) this.#setPace();
    return nextMs;
  }

  #nextSlice(): ReadonlySet<Login> {
    const next = new Set(this.#named);
    this.#named.clear();
    for (const { waiting, perSlice } of [this.#users, this.#devices]) {
      let taken = 0;
      for (const login of waiting) {
        if (taken === perSlice) break;
        waiting.delete(login);
        next.add(login);
        taken++;
      }
    }
    return next;
  }

  /** Looks credentials up, and ends the watches that are not allowed any more; false: some could not be looked up. */
  async #lookUp(logins: ReadonlySet<Login>): Promise<boolean> {
    const touched = new Set<Login>();
    let isFine = true;
    const left = logins.values();
    const lane = async () => {
      for (const login of left) isFine = (await this.#lookUpOne(login, touched)) && isFine;
    };
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, logins.size) }, lane));
    if (touched.size > 0) await this.#sweep(touched);
    return isFine;
  }

  /** @param touched gets the login if its watches have to be looked at */
  async #lookUpOne(login: Login, touched: Set<Login>): Promise<boolean> {
    const { generations, stored, verified, index } = this.#deps.access;
    const mark = generations.mark();
    const readAt = this.#deps.clock.monotonic();
    try {
      const found = await stored.again(login.verified);
      if (this.#failing) this.#deps.log.info("the credentials of open watches can be looked up again");
      this.#failing = false;
      if (found === undefined) {
        login.ended = true;
        if (verified.before(login.id) === login) verified.refuse(login.id);
        touched.add(login);
        return true;
      }
      if (!isSameDevice(login.verified.principal, found.principal)) touched.add(login);
      index.change(login, found);
      login.generation = mark.generation;
      login.readAt = readAt;
      login.isSuspect = generations.isNamedSince(mark, subjectsOf(found));
      if (!this.#streams.has(login)) return true; // its last watch closed meanwhile
      this.#byAge.delete(login);
      this.#byAge.add(login);
      if (login.isSuspect) this.#enqueueNamed(login);
      else if (isBehind(login, generations.current)) this.#enqueue(login);
      else verified.add(login); // E6
      return true;
    } catch (error) {
      if (!this.#failing)
        this.#deps.log.warn({ error: messageOf(error) }, "the credentials of open watches can't be looked up; they are tried again");
      this.#failing = true;
      if (!this.#streams.has(login)) return true;
      if (login.isSuspect)
        this.#named.add(login); // E4
      else this.#queueOf(login).waiting.add(login);
      return false;
    }
  }

  #streamsOf(login: Login): readonly Stream[] {
    const known = this.#streams.get(login);
    if (known === undefined) return [];
    return known instanceof Set ? [...known] : [known];
  }

  async #sweep(touched: ReadonlySet<Login>): Promise<void> {
    let ended = 0;
    for (const stream of [...touched].flatMap((login) => this.#streamsOf(login))) {
      const error = refusalOf(stream);
      if (error === undefined) continue;
      this.#refuse(stream, error);
      if (++ended % BATCH === 0) await turn();
    }
  }
}

/** A device's token never gets other rights, only another device_group. */
function isSameDevice(before: Login["verified"]["principal"], after: Login["verified"]["principal"]): boolean {
  return before.kind === "device" && after.kind === "device" && before.deviceGroup === after.deviceGroup;
}

/** E4: why a watch may not go on; undefined: it may. */
function refusalOf({ watcher: { login, deviceId }, group }: AuthorisedStream): NebulaError | undefined {
  if (login.ended) return noMore();
  try {
    assertPermitted(login.verified.principal, watchNeed(group.name, deviceId), true);
    return undefined;
  } catch (error) {
    if (isNebulaError(error)) return error;
    throw error;
  }
}

function noMore(): NebulaError {
  return new NebulaError("unauthenticated", "the credential of this watch is valid no more: it was revoked or replaced, or its user was deleted");
}
