/** The three ways in which a part asks the server. Each gives the states of data/loaded.ts; another key begins with `loading`. */
import { useEffect, useRef, useState } from "preact/hooks";
import { isLiveState, type LiveName, type LiveRequest, type LiveState, liveKey } from "../data/live-kinds.ts";
import { afterSource, LOADING, type Loaded } from "../data/loaded.ts";
import { type FetchPage, type ListState, PagedList, type Range } from "../data/paged-list.ts";
import { type Reading, startReading } from "../data/reading.ts";
import { usePage } from "./page-context.ts";

/**
 * Reads something of the server while the part is shown, and again every few seconds while the tab is.
 * @param key names what is read: another key reads at once
 * @param changes another number reads at once, as after a change that this tab made
 */
export function useReading<T>(key: string, read: (signal: AbortSignal) => Promise<T>, changes = 0): Loaded<T> {
  return useReadingOf(key, () => read, changes).state;
}

/** Rows that are read before a table says what is in view. */
const FIRST_ROWS: Range = { first: 0, last: 50 };

/**
 * A list of the server, read page by page as a table shows it, and again every few seconds.
 * @param key names the list: another key begins another one
 * @param changes another number reads at once, as after a change that this tab made
 */
export function usePages<T>(
  key: string,
  fetchPage: FetchPage<T>,
  changes = 0,
): Readonly<{ state: Loaded<ListState<T>>; onView: (range: Range) => void }> {
  const range = useRef(FIRST_ROWS);
  const begin = () => {
    range.current = FIRST_ROWS;
    const list = new PagedList(fetchPage);
    return (signal: AbortSignal) => list.read(range.current, signal);
  };
  const { state, again } = useReadingOf(key, begin, changes);
  const onView = (next: Range) => {
    range.current = next;
    if (next.last > rowsKnown(state)) again();
  };
  return { state, onView };
}

/** The number of rows that were read, infinite if there are no more. */
function rowsKnown(state: Loaded<ListState<unknown>>): number {
  if (state.kind !== "ready") return 0;
  return state.value.hasMore ? state.value.items.length : Number.POSITIVE_INFINITY;
}

/** Follows something of the server live while the part is shown: by a stream, or read again and again (data/live-plan.ts). */
export function useLive<Name extends LiveName>(name: Name, request: LiveRequest<Name>): Loaded<LiveState<Name>> {
  const { live } = usePage();
  const key = liveKey(name, request);
  const [shown, show] = useShown<LiveState<Name>>(key);
  useEffect(() => {
    const following = live.follow(key, (state) => {
      if (state.kind !== "ready") return show(state);
      const { value } = state;
      if (isLiveState(name, value)) show({ ...state, value });
    });
    return () => following[Symbol.dispose]();
  }, [key]);
  return shown;
}

/** @param begin makes the read of a key */
function useReadingOf<T>(
  key: string,
  begin: () => (signal: AbortSignal) => Promise<T>,
  changes: number,
): Readonly<{ state: Loaded<T>; again: () => void }> {
  const { attention, clock } = usePage();
  const [state, publish] = useShown<T>(key);
  const running = useRef<Reading | undefined>(undefined);
  useEffect(() => {
    const reading = startReading<T>({ read: begin(), attention, clock, report: reportError, publish });
    running.current = reading;
    return () => reading[Symbol.dispose]();
  }, [key]);
  const counted = useRef(changes);
  useEffect(() => {
    if (counted.current !== changes) running.current?.again(); // one that just began reads by itself
    counted.current = changes;
  }, [changes]);
  return { state, again: () => running.current?.again() };
}

/** Returns the shown state of a key, and the function that shows its next state. A login that ended ends the session. */
function useShown<T>(key: string): readonly [state: Loaded<T>, show: (next: Loaded<T>) => void] {
  const { session } = usePage();
  const [shown, setShown] = useState<Readonly<{ key: string; state: Loaded<T> }>>({ key, state: LOADING });
  const show = (next: Loaded<T>) => {
    if (next.kind === "failed" && next.trouble.kind === "login") session.ended();
    setShown((before) => ({ key, state: afterSource(before.key === key ? before.state : LOADING, next) }));
  };
  return [shown.key === key ? shown.state : LOADING, show];
}
