import { useEffect, useState } from "preact/hooks";
import { isLiveState, type LiveName, type LiveRequest, type LiveState, liveKey } from "../data/live-kinds.ts";
import { afterSource, LOADING, type Loaded } from "../data/loaded.ts";
import { usePage } from "./page-context.ts";

/** Follows something of the server live while the part is shown: by a stream, or read again and again (data/live-plan.ts). */
export function useLive<Name extends LiveName>(name: Name, request: LiveRequest<Name>): Loaded<LiveState<Name>> {
  const { live, session } = usePage();
  const key = liveKey(name, request);
  const [shown, setShown] = useState<Readonly<{ key: string; state: Loaded<LiveState<Name>> }>>({ key, state: LOADING });
  useEffect(() => {
    const show = (next: Loaded<LiveState<Name>>) => {
      setShown((before) => ({ key, state: afterSource<LiveState<Name>>(before.key === key ? before.state : LOADING, next) }));
    };
    const following = live.follow(key, (state) => {
      if (state.kind === "failed" && state.trouble.kind === "login") session.ended();
      if (state.kind !== "ready") return show(state);
      const { value } = state;
      if (isLiveState(name, value)) show({ ...state, value });
    });
    return () => following[Symbol.dispose]();
  }, [key]);
  return shown.key === key ? shown.state : LOADING;
}
