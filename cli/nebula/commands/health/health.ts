import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { dialable, formatAddress } from "../../../../common/net/address.ts";
import type { CommandContext } from "../../command/command.ts";

const LIMIT_MS = 4000;

/** Asks the part that runs with these settings how it is. Returns 0 where it is well, else 1 after the reason. */
export async function health({ settings, own, io }: CommandContext): Promise<number> {
  if (settings.metricsListen === undefined)
    throw new NebulaError("failed_precondition", "NEBULA_METRICS_LISTEN is off, and no other port answers this: give it an address");
  const url = `http://${formatAddress(dialable(settings.metricsListen))}/${own.get("ready") === "true" ? "readyz" : "healthz"}`;
  const answer = await fetch(url, { signal: AbortSignal.timeout(LIMIT_MS) }).catch((error: unknown) => {
    const late = error instanceof Error && error.name === "TimeoutError";
    throw new NebulaError("unavailable", late ? `no answer within ${LIMIT_MS / 1000} s at ${url}` : `nothing answers at ${url}`, { cause: error });
  });
  const text = (await answer.text()).trim();
  if (answer.ok) io.print(text);
  else io.complain(`nebula: ${url}: ${text}`);
  return answer.ok ? 0 : 1;
}
