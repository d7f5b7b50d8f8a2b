import { useEffect, useRef, useState } from "preact/hooks";
import { LOADING, type Loaded } from "../data/loaded.ts";
import { type FetchPage, type ListState, PagedList, type Range } from "../data/paged-list.ts";
import { type Reading, startReading } from "../data/reading.ts";
import { usePage } from "./page-context.ts";

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
  const { attention, clock, session } = usePage();
  const [shown, setShown] = useState<Readonly<{ key: string; state: Loaded<ListState<T>> }>>({ key, state: LOADING });
  const range = useRef(FIRST_ROWS);
  const reading = useRef<Reading | undefined>(undefined);
  /** Rows that are known: all, where there are no more. */
  const rows = useRef(0);
  useEffect(() => {
    range.current = FIRST_ROWS;
    const list = new PagedList(fetchPage);
    const started = startReading<ListState<T>>({
      read: (signal) => list.read(range.current, signal),
      attention,
      clock,
      report: reportError,
      publish(state) {
        if (state.kind === "failed" && state.trouble.kind === "login") session.ended();
        rows.current = state.kind !== "ready" ? 0 : state.value.hasMore ? state.value.items.length : Number.POSITIVE_INFINITY;
        setShown({ key, state });
      },
    });
    reading.current = started;
    return () => started[Symbol.dispose]();
  }, [key]);
  const counted = useRef(changes);
  useEffect(() => {
    if (counted.current !== changes) reading.current?.again(); // one that just began reads by itself
    counted.current = changes;
  }, [changes]);
  const onView = (next: Range) => {
    range.current = next;
    if (next.last > rows.current) reading.current?.again();
  };
  return { state: shown.key === key ? shown.state : LOADING, onView };
}
