import type { Followed } from "../../../../common/insight/text/apply-text.ts";
import { jsonText } from "../../../../common/printable.ts";
import { entityKindOf } from "../../../../common/resources/target-kind.ts";
import { ApplyService, ApplyVerdict, type WatchApplyResponse } from "../../../../gen/nebula/v1/apply_pb.ts";
import type { CommandContext } from "../../command/context.ts";
import { reopened } from "../../connection/reopened-stream.ts";
import { ApplyProgress, messageJson } from "./apply-progress.ts";
import type { WaitOptions } from "./followed.ts";

/** The most targets that the server follows at once. */
const MOST_TARGETS = 1000;
/** Without a terminal: at least this long between two lines, milliseconds. */
const LINE_EVERY_MS = 5000;

const EXIT_CODES: Readonly<Record<ApplyVerdict, number>> = {
  [ApplyVerdict.UNSPECIFIED]: 1,
  [ApplyVerdict.APPLIED]: 0,
  [ApplyVerdict.FAILED]: 2,
  [ApplyVerdict.UNFINISHED]: 3,
  [ApplyVerdict.NONE_ONLINE]: 3,
};

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

/** Resolves to the verdict. A stream that breaks is opened again with the time that is left, for the change was made already. */
async function watch(followed: readonly Followed[], { settleMs, timeoutMs }: WaitOptions, context: CommandContext): Promise<ApplyVerdict> {
  const { io, signal } = context;
  const client = await context.client(ApplyService);
  const printer = new Printer(new ApplyProgress(followed, timeoutMs), context);
  const targets = followed.map(({ before: _, ...target }) => target);
  const messages = reopened({
    // no deadline of Connect, whose timer outlives a call that is not read to its end
    open: (until, leftMs) => client.watchApply({ targets, settleMs, timeoutMs: leftMs }, { signal: until, timeoutMs: 0 }),
    onBreak: () => printer.forget(),
    limitMs: timeoutMs,
    clock: io.clock,
    signal,
  });
  let verdict: ApplyVerdict = ApplyVerdict.UNSPECIFIED;
  for await (const { message } of messages) {
    printer.take(message);
    verdict = message.verdict;
    if (verdict !== ApplyVerdict.UNSPECIFIED) break;
  }
  return verdict;
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

  /** The stream is opened again: its first message names all that failed. */
  forget(): void {
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
