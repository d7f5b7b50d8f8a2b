import type { Socket } from "node:net";
import type { Clock } from "../../common/clock/clock.ts";

/** The connection preface of HTTP/2 (24 bytes), and the head of the SETTINGS frame that has to follow (9): less is nobody who speaks it. */
const PREFACE_BYTES = 33;

/** How long a connection may take for its preface, milliseconds. */
export const PREFACE_MS = 10_000;

const LOOK_EVERY_MS = 1000;

/** Ends connections that do not say within some seconds that they speak HTTP/2. No timer per connection: they are looked at in the order in which they came. */
export class Newcomers {
  readonly #clock: Clock;
  #waiting: { socket: Socket; since: number }[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(socket: Socket): void {
    this.#waiting.push({ socket, since: this.#clock.monotonic() });
  }

  /** Until the signal is aborted. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#clock.sleep(LOOK_EVERY_MS, signal).catch(() => {});
      if (!signal.aborted) this.endLate();
    }
  }

  /** Ends all that came a short while ago: of those that came to a server that is stopping, what is left are unfinished handshakes. */
  endAll(): void {
    for (const { socket } of this.#waiting.splice(0)) socket.destroy();
  }

  /** Ends those whose time is up. */
  endLate(): void {
    const now = this.#clock.monotonic();
    const young = this.#waiting.findIndex(({ since }) => now - since < PREFACE_MS);
    const due = young === -1 ? this.#waiting.splice(0) : this.#waiting.splice(0, young);
    for (const { socket } of due) if (socket.bytesRead < PREFACE_BYTES) socket.destroy();
  }
}
