/** The program of the worker that all tabs of the dashboard share: it has their streams. */
import type { ToHub } from "../data/live-hub.ts";
import { openHub, SHARED_STREAMS } from "./live-client.ts";
import { createTransport } from "./transport.ts";

const hub = openHub(createTransport(), SHARED_STREAMS);

addEventListener("connect", (event) => {
  if (!(event instanceof MessageEvent)) return;
  const [port] = event.ports;
  if (port === undefined) return;
  const receive = hub.join((message) => port.postMessage(message));
  port.addEventListener("message", ({ data }: MessageEvent<ToHub>) => receive(data));
  port.start();
});
