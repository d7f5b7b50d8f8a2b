import { recordOf, textOf } from "./json.ts";

/**
 * The change by one line of a pull. `isDownloaded`: every layer that is known has arrived; the rest is unpacking,
 * which some engines do in silence.
 */
export type PullSign = Readonly<{ isProgress: boolean; isDownloaded: boolean; bytes: PullBytes }>;

/** Bytes of the layers whose size is known: those that have arrived, and all. Both are 0 before the first is known. */
export type PullBytes = Readonly<{ done: number; total: number }>;

/** The engine waits for something, or counts down to its next try. */
const WAITING = /^(Waiting|Retrying in)/;
/** A layer that has arrived, and perhaps is unpacked. */
const ARRIVED = /^(Already exists|Download complete|Extracting|Pull complete)/;
/** The only lines whose figures are bytes of the registry's: those of the unpacking count what is unpacked. */
const DOWNLOADING = /^Downloading/;
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
  readonly #sizes = new Map<string, PullBytes>();

  /** Takes the next line of the stream, parsed as JSON. */
  see(line: unknown): PullSign {
    const { id, status, progressDetail } = recordOf(line);
    const [layer, words] = [textOf(id), textOf(status)];
    const { current, total } = recordOf(progressDetail);
    if (layer !== "" && !ABOUT_A_TAG.test(words)) this.#sort(layer, words);
    this.#measure(layer, words, { done: Number(current), total: Number(total) });
    return {
      isProgress: this.#isProgress(layer, words, current),
      isDownloaded: this.#arrived.size > 0 && this.#missing.size === 0,
      bytes: this.#bytes,
    };
  }

  #isProgress(id: string, status: string, current: unknown): boolean {
    if (WAITING.test(status)) return false; // 2
    const shown = JSON.stringify([status, typeof current === "number" ? current : 0]);
    if (this.#shown.get(id) === shown) return false; // 1
    this.#shown.set(id, shown);
    return true;
  }

  #measure(layer: string, status: string, bytes: PullBytes): void {
    if (DOWNLOADING.test(status) && bytes.done >= 0 && bytes.total > 0) this.#sizes.set(layer, bytes);
    const size = this.#sizes.get(layer);
    if (size !== undefined && ARRIVED.test(status)) this.#sizes.set(layer, { ...size, done: size.total });
  }

  get #bytes(): PullBytes {
    const sizes = [...this.#sizes.values()];
    return { done: sizes.reduce((sum, { done }) => sum + done, 0), total: sizes.reduce((sum, { total }) => sum + total, 0) };
  }

  #sort(layer: string, status: string): void {
    const hasArrived = ARRIVED.test(status);
    (hasArrived ? this.#arrived : this.#missing).add(layer);
    (hasArrived ? this.#missing : this.#arrived).delete(layer);
  }
}
