import { recordOf, textOf } from "./json.ts";

/**
 * What a line of a pull changed. `isDownloaded`: every layer that is known has arrived; what is left is unpacking,
 * which some engines do in silence.
 */
export type PullSign = Readonly<{ isProgress: boolean; isDownloaded: boolean }>;

/** The engine waits for something, or counts down to its next try. */
const WAITING = /^(Waiting|Retrying in)/;
/** A layer that has arrived, and perhaps is unpacked. */
const ARRIVED = /^(Already exists|Download complete|Extracting|Pull complete)/;
/** Names a tag, not a layer. */
const ABOUT_A_TAG = /^Pulling from/;

/**
 * Follows the lines of one pull.
 * 1. Progress is a changed (id, status, current): an engine may print the same line every 100 ms while nothing arrives.
 * 2. A line that says only that the engine waits is not progress.
 */
export class PullProgress {
  readonly #shown = new Map<string, string>();
  readonly #missing = new Set<string>();
  readonly #arrived = new Set<string>();

  /** Takes the next line of the stream, parsed as JSON. */
  see(line: unknown): PullSign {
    const { id, status, progressDetail } = recordOf(line);
    const [layer, words] = [textOf(id), textOf(status)];
    if (layer !== "" && !ABOUT_A_TAG.test(words)) this.#sort(layer, words);
    return {
      isProgress: this.#isProgress(layer, words, recordOf(progressDetail).current),
      isDownloaded: this.#arrived.size > 0 && this.#missing.size === 0,
    };
  }

  #isProgress(id: string, status: string, current: unknown): boolean {
    if (WAITING.test(status)) return false; // 2
    const shown = JSON.stringify([status, typeof current === "number" ? current : 0]);
    if (this.#shown.get(id) === shown) return false; // 1
    this.#shown.set(id, shown);
    return true;
  }

  #sort(layer: string, status: string): void {
    const hasArrived = ARRIVED.test(status);
    (hasArrived ? this.#arrived : this.#missing).add(layer);
    (hasArrived ? this.#missing : this.#arrived).delete(layer);
  }
}
