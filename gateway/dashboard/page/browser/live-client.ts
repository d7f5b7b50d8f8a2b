import type { Transport } from "@connectrpc/connect";
import { type ReadonlySignal, signal } from "@preact/signals";
import { createLiveHub, type FromHub, type LiveHub, type Pulse, SIGN_MS, type ToHub } from "../data/live-hub.ts";
import { pulseOf, sourceOf } from "../data/live-kinds.ts";
import type { Loaded } from "../data/loaded.ts";
import { browserClock } from "./browser-clock.ts";

/** Live data, from the hub that all tabs share. */
export type LiveClient = Readonly<{
  /** Whether the server answers, and whom. */
  pulse: ReadonlySignal<Pulse | undefined>;
  /** Follows the data of a key until it is disposed. */
  follow: (key: string, publish: (state: Loaded<unknown>) => void) => Disposable;
  /** After a login: has everything read at once. Nothing is asked for before. */
  start: (user: string) => void;
  /** After a logout: asks for nothing any more. */
  stop: () => void;
}>;

/** Streams of all tabs together, and of a tab where the browser has no worker that they share. */
export const SHARED_STREAMS = 2;
const OWN_STREAMS = 1;

type Send = (message: ToHub) => void;

export function openLiveClient(transport: Transport): LiveClient {
  const pulse = signal<Pulse | undefined>(undefined);
  const followed = new Map<string, Set<(state: Loaded<unknown>) => void>>();
  let isStarted = false;
  let hub: Send | undefined;
  const receive = (message: FromHub) => {
    if (message.kind === "pulse") pulse.value = message.pulse;
    else for (const publish of followed.get(message.key) ?? []) publish(message.state);
  };
  const send = (message: ToHub) => {
    if (isStarted) hub?.(message);
  };
  const showAll = () => {
    send({ kind: "visible", isVisible: !document.hidden });
    for (const key of followed.keys()) send({ kind: "show", key });
  };
  const joinOwnHub = () => openHub(transport, OWN_STREAMS).join(receive);
  const onNoWorker = () => {
    hub = joinOwnHub();
    showAll();
  };
  document.addEventListener("visibilitychange", () => send({ kind: "visible", isVisible: !document.hidden }));
  addEventListener("pagehide", () => send({ kind: "gone" }));
  addEventListener("pageshow", ({ persisted }) => {
    if (persisted) showAll();
  });
  setInterval(() => send({ kind: "sign" }), SIGN_MS);
  return {
    pulse,
    follow(key, publish) {
      const publishing = followed.get(key) ?? new Set();
      followed.set(key, publishing.add(publish));
      send({ kind: "show", key }); // the hub answers with the newest state
      return {
        [Symbol.dispose]() {
          publishing.delete(publish);
          if (publishing.size > 0) return;
          followed.delete(key);
          send({ kind: "hide", key });
        },
      };
    },
    start(user) {
      const isFirst = hub === undefined;
      hub ??= joinSharedHub(receive, onNoWorker) ?? joinOwnHub();
      isStarted = true;
      send({ kind: "user", user });
      if (!isFirst) send({ kind: "again" });
      showAll();
    },
    stop() {
      send({ kind: "gone" });
      isStarted = false;
    },
  };
}

/** The hub of this program. */
export function openHub(transport: Transport, streams: number): LiveHub {
  return createLiveHub({ sourceOf: sourceOf(transport), pulse: pulseOf(transport), streams, clock: browserClock, report: reportError });
}

/** Undefined where the browser has no worker that tabs share. @param onNoWorker its program could not be loaded */
function joinSharedHub(receive: (message: FromHub) => void, onNoWorker: () => void): Send | undefined {
  const program = document.querySelector('meta[name="nebula-streams"]')?.getAttribute("content");
  if (typeof SharedWorker === "undefined" || program == null) return undefined;
  const worker = new SharedWorker(program, { type: "module", name: "nebula" });
  worker.addEventListener("error", onNoWorker, { once: true });
  worker.port.addEventListener("message", ({ data }: MessageEvent<FromHub>) => receive(data));
  worker.port.start();
  return (message) => worker.port.postMessage(message);
}
