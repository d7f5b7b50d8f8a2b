/** The program of the worker that all tabs of the dashboard share: it has their streams. */
import { createLiveHub, type ToHub } from "../data/live-hub.ts";
import { pulseOf, sourceOf } from "../data/live-kinds.ts";
import { browserClock } from "./browser-clock.ts";
import { SHARED_STREAMS } from "./live-client.ts";
import { createTransport } from "./transport.ts";

const transport = createTransport();
const options = { sourceOf: sourceOf(transport), pulse: pulseOf(transport), streams: SHARED_STREAMS, clock: browserClock, report: reportError };
const hub = createLiveHub(options);

addEventListener("connect", (event) => {
  if (!(event instanceof MessageEvent)) return;
  const [port] = event.ports;
  if (port === undefined) return;
  const receive = hub.join((message) => port.postMessage(message));
  port.addEventListener("message", ({ data }: MessageEvent<ToHub>) => receive(data));
  port.start();
});
