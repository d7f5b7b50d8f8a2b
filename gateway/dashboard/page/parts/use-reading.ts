import { useEffect, useRef, useState } from "preact/hooks";
import { LOADING, type Loaded } from "../data/loaded.ts";
import { type Reading, startReading } from "../data/reading.ts";
import { usePage } from "./page-context.ts";

/**
 * Reads something of the server while the part is shown, and again every few seconds while the tab is.
 * @param key names what is read: another key reads at once, and begins with `loading`
 * @param changes another number reads at once, as after a change that this tab made
 */
export function useReading<T>(key: string, read: (signal: AbortSignal) => Promise<T>, changes = 0): Loaded<T> {
  const { attention, clock, session } = usePage();
  const [shown, setShown] = useState<Readonly<{ key: string; state: Loaded<T> }>>({ key, state: LOADING });
  const running = useRef<Reading | undefined>(undefined);
  useEffect(() => {
    const reading = startReading<T>({
      read,
      attention,
      clock,
      report: reportError,
      publish(state) {
        if (state.kind === "failed" && state.trouble.kind === "login") session.ended();
        setShown({ key, state });
      },
    });
    running.current = reading;
    return () => reading[Symbol.dispose]();
  }, [key]);
  const counted = useRef(changes);
  useEffect(() => {
    if (counted.current !== changes) running.current?.again(); // one that just began reads by itself
    counted.current = changes;
  }, [changes]);
  return shown.key === key ? shown.state : LOADING;
}
