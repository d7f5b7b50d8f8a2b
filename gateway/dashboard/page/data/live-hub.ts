/**
 * Live data for all tabs of a browser: one hub, in the worker that they share, or in a tab by itself. Tabs announce what
 * they show; the hub gets it, by at most `streams` streams (live-plan.ts), and sends each tab the newest state of it.
 *
 * H1 One source serves all tabs that show the same.
 * H2 While a tab is visible, a pulse asks every PULSE_MS whether the server answers. If it does not, all that is shown is
 *    marked with its age, streams are given up, and the first answer has everything read again at once.
 * H3 A stream that ends is opened again, one that is refused after a back-off; meanwhile its data is polled.
 * H4 A tab that sends nothing for SILENT_MS is gone: it may have crashed.
 * H5 Data of one user are never sent to another: where a tab, or the pulse, has another user than before, all of it is dropped.
 */
import { backoffMs } from "../../../../common/clock/backoff.ts";
import type { Clock } from "../../../../common/clock/clock.ts";
import { HIDDEN_MS, planLive, type Shown, type Way } from "./live-plan.ts";
import { afterTrouble, LOADING, type Loaded, ready, type Trouble, troubleOf } from "./loaded.ts";

/** How often that is read which has no stream, milliseconds. */
export const POLL_MS = 5000;
const PULSE_MS = 5000;
/** How often a tab announces that it exists, milliseconds. */
export const SIGN_MS = 20_000;
/** Timers of hidden tabs run once a minute. */
const SILENT_MS = 150_000;
const BACKOFF = { firstMs: 2000, longestMs: 60_000 };

/** Where one thing that is shown comes from. States are plain data, each of them whole. */
export type Source = Readonly<{
  read: (signal: AbortSignal) => Promise<unknown>;
  /** Absent if there is no stream of it. */
  open?: (signal: AbortSignal) => AsyncIterable<unknown>;
}>;

/** A message of a tab to the hub. A key names what the tab shows. */
export type ToHub = Readonly<
  | { kind: "show"; key: string }
  | { kind: "hide"; key: string }
  | { kind: "visible"; isVisible: boolean }
  | { kind: "sign" }
  /** The tab is used by this user. */
  | { kind: "user"; user: string }
  /** Read everything again now: a login changed. */
  | { kind: "again" }
  | { kind: "gone" }
>;

/** The caller, as the server knows it. `isAdmin`: whether it may do everything. */
export type PageUser = Readonly<{ user: string; isAdmin: boolean }>;

/** The server, as the pulse finds it. `caller` is undefined if the server did not say. */
export type Pulse = Readonly<{ trouble: Trouble | undefined; asOfMs: number; caller: PageUser | undefined }>;

/** A message of the hub to a tab. */
export type FromHub = Readonly<{ kind: "state"; key: string; state: Loaded<unknown> } | { kind: "pulse"; pulse: Pulse }>;

export type LiveHubOptions = Readonly<{
  sourceOf: (key: string) => Source;
  /** Resolves with the user that the server takes the caller for. */
  pulse: (signal: AbortSignal) => Promise<PageUser>;
  streams: number;
  clock: Clock;
  /** Gets an error that is a fault of the page. */
  report: (error: unknown) => void;
}>;

export type LiveHub = Disposable & {
  /** Adds a tab; its messages are given to the function that is returned. */
  join(send: (message: FromHub) => void): (message: ToHub) => void;
};

type Tab = { send: (message: FromHub) => void; isVisible: boolean; hiddenAt: number; signAt: number; shows: Map<string, number> };

type Entry = {
  source: Source;
  state: Loaded<unknown>;
  /** Whether the state is the newest message of the stream that is open. */
  isOfStream: boolean;
  way: Way;
  run: AbortController;
  failures: number;
  refusedUntil: number;
};

export function createLiveHub({ sourceOf, pulse, streams, clock, report }: LiveHubOptions): LiveHub {
  const ended = new AbortController();
  const tabs = new Set<Tab>();
  const entries = new Map<string, Entry>();
  let looks = 0;
  let lastPulse: Pulse | undefined;
  let lastUser: string | undefined;
  let pulsing: AbortController | undefined;
  /** Ends the wait of what plans again later. */
  let planning = new AbortController();

  const isAwake = (tab: Tab) => tab.isVisible || clock.monotonic() - tab.hiddenAt < HIDDEN_MS; // L1

  function send(key: string, state: Loaded<unknown>): void {
    for (const tab of tabs) if (tab.shows.has(key)) tab.send({ kind: "state", key, state });
  }

  function publish(key: string, entry: Entry, state: Loaded<unknown>): void {
    if (entries.get(key) !== entry) return;
    entry.state = state;
    send(key, state);
  }

  /** Does what each entry needs now, and looks again when a hidden tab or a back-off is over. */
  function plan(): void {
    if (ended.signal.aborted) return;
    for (const tab of tabs) if (clock.monotonic() - tab.signAt > SILENT_MS) tabs.delete(tab); // H4
    const shown = [...shownKeys()];
    for (const [key, entry] of entries) if (!shown.some((one) => one.key === key)) drop(key, entry);
    for (const [key, way] of planLive(shown, streams)) follow(key, way);
    const isWatched = [...tabs].some(({ isVisible }) => isVisible);
    if (isWatched && pulsing === undefined) void pulseWhileWatched();
    if (!isWatched) pulsing?.abort();
    void planLater();
  }

  function* shownKeys(): Generator<Shown> {
    const awake = [...tabs].filter(isAwake);
    for (const key of new Set(awake.flatMap(({ shows }) => [...shows.keys()]))) {
      const showing = awake.filter(({ shows }) => shows.has(key));
      const entry = entries.get(key);
      const source = entry?.source ?? sourceOf(key);
      yield {
        key,
        isVisible: showing.some(({ isVisible }) => isVisible),
        lookedAt: Math.max(...showing.map(({ shows }) => shows.get(key) ?? 0)),
        mayStream: source.open !== undefined && lastPulse?.trouble === undefined && (entry?.refusedUntil ?? 0) <= clock.monotonic(),
      };
    }
  }

  async function planLater(): Promise<void> {
    planning.abort();
    planning = new AbortController();
    const { signal } = planning;
    const now = clock.monotonic();
    const times = [
      ...[...tabs].flatMap((tab) => [tab.signAt + SILENT_MS + 1, ...(tab.isVisible ? [] : [tab.hiddenAt + HIDDEN_MS])]),
      ...[...entries.values()].map(({ refusedUntil }) => refusedUntil),
    ].filter((at) => at > now);
    if (times.length === 0) return;
    await clock.sleep(Math.min(...times) - now, signal).then(plan, () => {});
  }

  function follow(key: string, way: Way): void {
    const entry = entries.get(key) ?? {
      source: sourceOf(key),
      state: LOADING,
      isOfStream: false,
      way: "rest",
      run: new AbortController(),
      failures: 0,
      refusedUntil: 0,
    };
    entries.set(key, entry);
    if (entry.way === way) return;
    entry.run.abort();
    entry.run = new AbortController();
    entry.way = way;
    entry.isOfStream = false;
    if (way === "stream") void stream(key, entry, entry.run.signal);
    if (way === "poll") void poll(key, entry, entry.run.signal);
  }

  function drop(key: string, entry: Entry): void {
    entry.run.abort();
    entries.delete(key);
  }

  async function stream(key: string, entry: Entry, signal: AbortSignal): Promise<void> {
    try {
      for await (const value of entry.source.open?.(signal) ?? []) {
        if (signal.aborted) return;
        entry.failures = 0;
        entry.isOfStream = true;
        publish(key, entry, ready(value, clock.now()));
      }
      if (signal.aborted) return;
      entry.refusedUntil = clock.monotonic() + BACKOFF.firstMs; // it ended, as streams do after an hour
    } catch (error) {
      if (signal.aborted) return;
      entry.failures++;
      entry.refusedUntil = clock.monotonic() + backoffMs(BACKOFF, entry.failures); // H3
      const trouble = troubleOf(error, report);
      if (trouble.kind === "login") publish(key, entry, afterTrouble(entry.state, trouble));
    }
    entry.way = "rest";
    plan();
  }

  async function poll(key: string, entry: Entry, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        const value = await entry.source.read(signal);
        if (!signal.aborted) publish(key, entry, ready(value, clock.now()));
      } catch (error) {
        if (!signal.aborted) publish(key, entry, afterTrouble(entry.state, troubleOf(error, report)));
      }
      await clock.sleep(POLL_MS, signal).catch(() => {});
    }
  }

  /** H2 */
  async function pulseWhileWatched(): Promise<void> {
    pulsing = new AbortController();
    const signal = AbortSignal.any([pulsing.signal, ended.signal]);
    while (!signal.aborted) {
      const [trouble, caller] = await pulse(signal).then(
        (caller) => [undefined, caller] as const,
        (error: unknown) => [signal.aborted ? undefined : troubleOf(error, report), undefined] as const,
      );
      if (signal.aborted) break;
      onPulse(trouble?.kind === "unreachable" || trouble?.kind === "login" ? trouble : undefined, caller); // any other refusal is an answer
      await clock.sleep(PULSE_MS, signal).catch(() => {});
    }
    pulsing = undefined;
    if ([...tabs].some(({ isVisible }) => isVisible)) plan();
  }

  function onPulse(trouble: Trouble | undefined, caller: PageUser | undefined): void {
    const before = lastPulse;
    lastPulse = { trouble, asOfMs: trouble === undefined ? clock.now() : (before?.asOfMs ?? clock.now()), caller };
    for (const tab of tabs) tab.send({ kind: "pulse", pulse: lastPulse });
    if (caller !== undefined) onUser(caller.user);
    if (before?.trouble?.kind === trouble?.kind) {
      if (trouble === undefined) for (const entry of entries.values()) confirm(entry);
      return;
    }
    if (trouble === undefined) return void again();
    for (const [key, entry] of entries) publish(key, entry, afterTrouble(entry.state, trouble));
    plan(); // which gives streams up
  }

  /** The newest message of a stream stays true while the server answers; what was read before the stream opened does not. */
  function confirm(entry: Entry): void {
    if (entry.way !== "stream" || !entry.isOfStream || entry.state.kind !== "ready") return;
    entry.state = { ...entry.state, asOfMs: clock.now() };
  }

  function again(): void {
    for (const entry of entries.values()) {
      entry.run.abort();
      Object.assign(entry, { way: "rest", failures: 0, refusedUntil: 0 });
    }
    plan();
  }

  /** H5 */
  function onUser(user: string): void {
    const isOther = lastUser !== undefined && user !== lastUser;
    lastUser = user;
    if (!isOther) return;
    for (const entry of entries.values()) entry.state = LOADING;
    again();
  }

  function look(tab: Tab): void {
    for (const key of tab.shows.keys()) tab.shows.set(key, ++looks);
  }

  function receive(tab: Tab, message: ToHub): void {
    tab.signAt = clock.monotonic();
    tabs.add(tab);
    switch (message.kind) {
      case "show": {
        tab.shows.set(message.key, ++looks);
        const known = entries.get(message.key);
        if (known !== undefined) tab.send({ kind: "state", key: message.key, state: known.state });
        return void plan();
      }
      case "hide":
        tab.shows.delete(message.key);
        return void plan();
      case "visible":
        if (tab.isVisible && !message.isVisible) tab.hiddenAt = clock.monotonic();
        tab.isVisible = message.isVisible;
        if (message.isVisible) look(tab);
        return void plan();
      case "sign":
        return;
      case "user":
        return void onUser(message.user);
      case "again":
        pulsing?.abort();
        lastPulse = undefined;
        return void again();
      case "gone":
        tabs.delete(tab);
        tab.shows.clear(); // a tab that comes back shows all again
        return void plan();
    }
  }

  return {
    join(send) {
      const tab: Tab = { send, isVisible: true, hiddenAt: 0, signAt: clock.monotonic(), shows: new Map() };
      tabs.add(tab);
      if (lastPulse !== undefined) send({ kind: "pulse", pulse: lastPulse });
      plan();
      return (message) => receive(tab, message);
    },
    [Symbol.dispose]() {
      ended.abort();
      planning.abort();
      for (const [key, entry] of entries) drop(key, entry);
    },
  };
}
