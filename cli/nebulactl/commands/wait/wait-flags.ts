import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import type { Followed } from "../../../../common/insight/text/apply-text.ts";
import type { CommandContext } from "../../command/context.ts";
import type { Flag, SwitchFlag, TextFlag } from "../../command/flags.ts";
import type { WaitOptions } from "./followed.ts";

const WAIT: SwitchFlag = {
  kind: "switch",
  name: "wait",
  help: "Follows the change until every online device applied it. Exit code 0: all did; 2: some failed; 3: not finished, or none is online.",
};
const SETTLE: TextFlag = {
  kind: "text",
  name: "settle",
  placeholder: "DURATION",
  help: "With --wait: how long no device may change its state before it ends. Default: 10s.",
};
const TIMEOUT: TextFlag = { kind: "text", name: "timeout", placeholder: "DURATION", help: "With --wait: ends it in any case. Default: 5m." };

/** The flags of every command whose change can be waited for. */
export const WAIT_FLAGS: readonly Flag[] = [WAIT, SETTLE, TIMEOUT];

const SETTLE_MS = 10_000;
const TIMEOUT_MS = 5 * 60_000;
/** As the server takes them. */
const MOST_SETTLE = { ms: 3_600_000, text: "1h" };
const MOST_TIMEOUT = { ms: 7 * 86_400_000, text: "7d" };

/** Returns how to wait, undefined if nobody asked for it. Called before the change: throws `invalid_argument` for a value that is not valid. */
export async function waitOptions({ values, output }: Pick<CommandContext, "values" | "output">): Promise<WaitOptions | undefined> {
  const given = [SETTLE, TIMEOUT].find((flag) => values.has(flag));
  if (!values.on(WAIT)) {
    if (given !== undefined) throw new NebulaError("invalid_argument", `--${given.name} needs --wait`);
    return undefined;
  }
  if (output === "yaml")
    throw new NebulaError("invalid_argument", 'invalid --output "yaml" with --wait: use table, or json for an object of each message');
  const { parseDurationMs } = await import("../../fields/text-values.ts");
  const duration = (flag: TextFlag, fallback: number, most: Readonly<{ ms: number; text: string }>) => {
    const text = values.text(flag);
    const ms = text === undefined ? fallback : parseDurationMs(text, `--${flag.name}`);
    if (ms <= most.ms) return ms;
    throw new NebulaError("invalid_argument", `invalid --${flag.name} "${text}": it is too long; use at most ${most.text}`);
  };
  return { settleMs: duration(SETTLE, SETTLE_MS, MOST_SETTLE), timeoutMs: duration(TIMEOUT, TIMEOUT_MS, MOST_TIMEOUT) };
}

/** Follows what was changed, if that was asked for. Resolves to the exit code. */
export async function waitFor(options: WaitOptions | undefined, followed: readonly Followed[], context: CommandContext): Promise<number> {
  if (options === undefined) return 0;
  return await (await import("./follow.ts")).follow(followed, options, context);
}
