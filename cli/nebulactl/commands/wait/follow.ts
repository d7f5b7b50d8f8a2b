import { Code, ConnectError } from "@connectrpc/connect";
import { type Backoff, backoffMs } from "../../../../common/clock/backoff.ts";
import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import type { Followed } from "../../../../common/insight/text/apply-text.ts";
import { jsonText } from "../../../../common/printable.ts";
import { entityKindOf } from "../../../../common/resources/target-kind.ts";
import { ApplyService, ApplyVerdict, type WatchApplyResponse } from "../../../../gen/nebula/v1/apply_pb.ts";
import type { CommandContext } from "../../command/context.ts";
import { ApplyProgress, messageJson } from "./apply-progress.ts";
import type { WaitOptions } from "./followed.ts";

/** What the server follows at once. */
const MOST_TARGETS = 1000;
/** Without a terminal: at least this long between two lines, milliseconds. */
const LINE_EVERY_MS = 5000;
/** Before a stream that broke is opened again. */
const BACKOFF: Backoff = { firstMs: 500, longestMs: 10_000 };
/** What a call may take beyond the time to wait, milliseconds. */
const GRACE_MS = 30_000;

const EXIT_CODES: Readonly<Record<ApplyVerdict, number>> = {
  [ApplyVerdict.UNSPECIFIED]: 1,
  [ApplyVerdict.APPLIED]: 0,
  [ApplyVerdict.FAILED]: 2,
  [ApplyVerdict.UNFINISHED]: 3,
  [ApplyVerdict.NONE_ONLINE]: 3,
};

/** Refusals that are the same when the call is made again. */
const FINAL: ReadonlySet<Code> = new Set([
  Code.InvalidArgument,
  Code.NotFound,
  Code.PermissionDenied,
  Code.Unauthenticated,
  Code.ResourceExhausted,
  Code.Unimplemented,
  Code.FailedPrecondition,
]);

/** Follows changes on their way to the devices, and prints it. Resolves to the exit code. */
export async function follow(all: readonly Followed[], options: WaitOptions, context: CommandContext): Promise<number> {
  const { io, signal } = context;
  const followed = all.slice(0, MOST_TARGETS);
  if (followed.length === 0) return 0;
  if (followed.length < all.length) io.err(`the first ${MOST_TARGETS} of ${all.length} changes are followed\n`);
  const again = `nebulactl status ${followed.length === 1 ? nameOf(followed[0]) : "NAME"}`;
  try {
    const verdict = await watch(followed, options, context);
    if (verdict === ApplyVerdict.UNFINISHED) io.err(`look again with: ${again}\n`);
    return EXIT_CODES[verdict] ?? 1;
  } catch (error) {
    if (signal.aborted) io.err(`the change stays; look again with: ${again}\n`);
    throw error;
  }
}

async function watch(followed: readonly Followed[], { settleMs, timeoutMs }: WaitOptions, context: CommandContext): Promise<ApplyVerdict> {
  const { io, signal } = context;
  const began = io.clock.monotonic();
  const printer = new Printer(new ApplyProgress(followed, timeoutMs), context);
  const targets = followed.map(({ before: _, ...target }) => target);
  for (let failures = 1; ; failures++) {
    const leftMs = Math.max(0, Math.round(timeoutMs - (io.clock.monotonic() - began)));
    let trouble: unknown = new NebulaError("unavailable", "the stream ended without a verdict");
    const left = new AbortController();
    try {
      const client = await context.client(ApplyService);
      const until = AbortSignal.any([signal, left.signal]);
      void io.clock.sleep(leftMs + GRACE_MS, until).then(
        () => left.abort(),
        () => {},
      );
      // no deadline of Connect, whose timer outlives a call that is not read to its end
      const messages = client.watchApply({ targets, settleMs, timeoutMs: leftMs }, { signal: until, timeoutMs: 0 });
      printer.opened();
      for await (const message of messages) {
        failures = 1;
        printer.take(message);
        if (message.verdict !== ApplyVerdict.UNSPECIFIED) return message.verdict;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ConnectError) || FINAL.has(error.code)) throw error;
      trouble = error;
    } finally {
      left.abort(); // a call whose answers are not read on keeps its connection otherwise
    }
    const retryMs = backoffMs(BACKOFF, failures);
    if (io.clock.monotonic() - began + retryMs >= timeoutMs) throw trouble;
    await io.clock.sleep(retryMs, signal);
  }
}

/** `app/web`, as `nebulactl status` takes it: a cron_job or device_group may have the name, too. */
function nameOf(followed: Followed | undefined): string {
  if (followed === undefined) return "NAME";
  const kind = entityKindOf(followed.kind ?? 0);
  return kind === undefined ? followed.name : `${kind}/${followed.name}`;
}

/** Prints what a stream says: on a terminal some lines that are redrawn, else a line every few seconds; as JSON an object of each message. */
class Printer {
  readonly #progress: ApplyProgress;
  readonly #context: Pick<CommandContext, "io" | "output">;
  readonly #began: number;
  #printedAt = Number.NEGATIVE_INFINITY;

  constructor(progress: ApplyProgress, context: Pick<CommandContext, "io" | "output">) {
    this.#progress = progress;
    this.#context = context;
    this.#began = context.io.clock.monotonic();
  }

  /** A stream opens, maybe again: its first message names all that failed. */
  opened(): void {
    this.#progress.forget();
  }

  take(message: WatchApplyResponse): void {
    const { io, output } = this.#context;
    if (output === "json") {
      io.out(`${jsonText(messageJson(message))}\n`);
      return;
    }
    this.#progress.take(message);
    const now = io.clock.monotonic();
    const isLast = message.verdict !== ApplyVerdict.UNSPECIFIED;
    if (io.columns !== undefined) io.redraw(this.#progress.lines(now - this.#began, io.columns));
    else if (isLast) io.out(lines(this.#progress.lines(now - this.#began, undefined)));
    else if (now - this.#printedAt >= LINE_EVERY_MS) {
      this.#printedAt = now;
      io.out(lines([this.#progress.line(now - this.#began, undefined)]));
    }
    if (isLast) io.out(lines([this.#progress.summary()]));
  }
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `${text}\n`).join("");
}
