import type { Transport } from "@connectrpc/connect";
import { type ReadonlySignal, signal } from "@preact/signals";
import { createLiveHub, type FromHub, type Pulse, SIGN_MS, type ToHub } from "../data/live-hub.ts";
import { pulseOf, sourceOf } from "../data/live-kinds.ts";
import type { Loaded } from "../data/loaded.ts";
import { browserClock } from "./browser-clock.ts";

/** Live data, from the hub that all tabs share. */
export type LiveClient = Readonly<{
  /** Whether the server answers. */
  pulse: ReadonlySignal<Pulse | undefined>;
  /** Follows what a key names until it is disposed. */
  follow: (key: string, publish: (state: Loaded<unknown>) => void) => Disposable;
  /** After a login: has everything tried at once. Nothing is asked for before. */
  start: () => void;
  /** After a logout: asks for nothing any more. */
  stop: () => void;
}>;

/** Streams of all tabs together, and of a tab where the browser has no worker that they share. */
export const SHARED_STREAMS = 2;
const OWN_STREAMS = 1;

export function openLiveClient(transport: Transport): LiveClient {
  const pulse = signal<Pulse | undefined>(undefined);
  const followed = new Map<string, Set<(state: Loaded<unknown>) => void>>();
  let isStarted = false;
  let hub: ((message: ToHub) => void) | undefined;
  const hear = (message: FromHub) => {
    if (message.kind === "pulse") pulse.value = message.pulse;
    else for (const publish of followed.get(message.key) ?? []) publish(message.state);
  };
  const say = (message: ToHub) => {
    if (isStarted) hub?.(message);
  };
  const showAll = () => {
    say({ kind: "visible", isVisible: !document.hidden });
    for (const key of followed.keys()) say({ kind: "show", key });
  };
  document.addEventListener("visibilitychange", () => say({ kind: "visible", isVisible: !document.hidden }));
  addEventListener("pagehide", () => say({ kind: "gone" }));
  addEventListener("pageshow", ({ persisted }) => {
    if (persisted) showAll();
  });
  setInterval(() => say({ kind: "sign" }), SIGN_MS);
  return {
    pulse,
    follow(key, publish) {
      const publishing = followed.get(key) ?? new Set();
      followed.set(key, publishing.add(publish));
      say({ kind: "show", key }); // the hub answers with the newest state
      return {
        [Symbol.dispose]() {
          publishing.delete(publish);
          if (publishing.size > 0) return;
          followed.delete(key);
          say({ kind: "hide", key });
        },
      };
    },
    start() {
      const isFirst = hub === undefined;
      hub ??= connect(transport, hear);
      isStarted = true;
      if (!isFirst) say({ kind: "again" });
      showAll();
    },
    stop() {
      say({ kind: "gone" });
      isStarted = false;
    },
  };
}

function connect(transport: Transport, hear: (message: FromHub) => void): (message: ToHub) => void {
  const program = document.querySelector('meta[name="nebula-streams"]')?.getAttribute("content");
  if (typeof SharedWorker === "undefined" || program == null) {
    return createLiveHub({ sourceOf: sourceOf(transport), pulse: pulseOf(transport), streams: OWN_STREAMS, clock: browserClock }).join(hear);
  }
  const { port } = new SharedWorker(program, { type: "module", name: "nebula" });
  port.addEventListener("message", ({ data }: MessageEvent<FromHub>) => hear(data));
  port.start();
  return (message) => port.postMessage(message);
}
